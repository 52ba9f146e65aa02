"""Train the stages of a distillation, then measure them: `python train.py --help`.

The same as `kdmri train`. Hydra completes the words of scripts that name @hydra.main.
"""

from kdmri.train import main

if __name__ == "__main__":
    main()
