"""A config with ten mistakes: one `check` names all ten, each with its line."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import HERE, claim, command, end

FIXTURE = HERE / "fixtures" / "ten-mistakes.toml"

lines = FIXTURE.read_text("utf-8").splitlines()
marked = [number for number, line in enumerate(lines, start=1) if re.search(r"# \d+: ", line)]
checked = command("check", "--config", FIXTURE)
problem = re.compile(rf"^{re.escape(str(FIXTURE))}:(\d+): `", re.MULTILINE)
said = checked.stdout + checked.stderr
named = [int(number) for number in problem.findall(said)]
claim("the fixture marks ten lines", len(marked) == 10, marked)
claim("`check` names ten problems", len(named) == 10, said)
claim("… in the ten lines that have them", sorted(named) == marked, (named, marked))
claim("… and counts them", "10 problems" in said, said)
claim("… and exits with 2", checked.returncode == 2, checked.returncode)

fixed = command("check", "--config", HERE / "fixtures" / "good.toml")
claim("a valid config exits with 0", fixed.returncode == 0, fixed.stdout + fixed.stderr)
end()
