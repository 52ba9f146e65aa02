"""Measure trained stages without training: `python evaluate.py --help`.

The same as `kdmri evaluate`. Hydra completes the words of scripts that name @hydra.main.
"""

from kdmri.evaluate import main

if __name__ == "__main__":
    main()
