"""Fail when a test was skipped, but for a Qdrant server (in no registry) and pictures drawn on demand."""

import sys
from xml.etree import ElementTree as ET

ALLOWED = ("QDRANT_URL", "--screenshots")

report = ET.parse(sys.argv[1])
skipped = [
    (case.get("classname"), case.get("name"), skip.get("message", ""))
    for case in report.iter("testcase")
    for skip in case.iter("skipped")
]
wrong = [item for item in skipped if not any(reason in item[2] for reason in ALLOWED)]
for module, name, reason in wrong:
    print(f"skipped: {module}::{name}: {reason}")
print(f"{len(skipped)} skipped, {len(wrong)} of them for no good reason")
sys.exit(1 if wrong else 0)
