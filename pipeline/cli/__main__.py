"""What does `python -m pipeline.cli` run?"""

from pipeline.cli import main

main()
