"""Build the wheel and fail when a package or a file of the page is missing from it."""

import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

packages = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
with tempfile.TemporaryDirectory() as folder:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, "."]
    subprocess.run(build, check=True)
    names = zipfile.ZipFile(next(Path(folder).glob("*.whl"))).namelist()
wanted = {
    str(path)
    for package in packages
    for path in Path(package).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
}
missing = sorted(wanted - set(names))
print(f"{len(names)} files in the wheel, {len(missing)} missing")
for name in missing:
    print(f"missing: {name}")
sys.exit(1 if missing else 0)
