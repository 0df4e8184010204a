"""``python -m mxrnn`` prints the report on what MXNet runs on here."""
from mxrnn._runtime import report

print(report.device_report())
