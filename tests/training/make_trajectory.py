"""Write trajectory.json anew: ``python -m tests.make_trajectory``, after a change that is meant."""

import json
import os
import tempfile
from pathlib import Path

from tests import test_training
from tests.texts import prose


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.chdir(home)
        Path("t.txt").write_text(prose(4000), encoding="utf-8")
        plan = test_training.plan_for("t.txt", train__steps=10)
        losses = test_training.losses(test_training.follow(test_training.trainer_for(plan)))
        os.chdir(Path(__file__).parent)
    content = json.dumps({"losses": losses}, indent=1) + "\n"
    test_training.TRAJECTORY.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
