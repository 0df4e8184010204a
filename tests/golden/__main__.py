"""Write the golden files anew."""
from .. import rnn
from . import write

write(rnn)
