"""Files of arrays as MXNet writes them, made by hand."""
import struct

import numpy as np


def u32(*values):
    return struct.pack('<%dI' % len(values), *values)


def u64(*values):
    return struct.pack('<%dQ' % len(values), *values)


DATA = np.arange(6, dtype=np.float32).tobytes()
V1, V2 = u32(0xF993FAC8), u32(0xF993FAC9)
CPU_FLOAT = u32(1, 0, 0)
OLD = u32(2, 2, 3) + CPU_FLOAT + DATA


def array_list(*arrays, names=(b'arg:a',), magic=0x112, counts=None):
    counts = counts or (len(arrays), len(names))
    return (u64(magic, 0, counts[0]) + b''.join(arrays) + u64(counts[1])
            + b''.join(u64(len(name)) + name for name in names))
