"""Print the lowest version of what tests require that pyproject.toml allows, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
requirements, extras = [*project["dependencies"]], ["test"]
for extra in extras:
    for requirement in project["optional-dependencies"][extra]:
        if itself := re.fullmatch(rf"{project['name']}\[(.+)\]", requirement):
            extras += itself[1].split(",")  # Which makes this loop longer.
        else:
            requirements.append(requirement)
for requirement in sorted(requirements):
    if lowest := re.match(r"([\w.-]+)>=([\w.]+)", requirement):
        print(f"{lowest[1]}=={lowest[2]}")
