"""``python -m mxrnn`` prints the report on what MXNet runs on here."""
from mxrnn import _report

print(_report.device_report())
