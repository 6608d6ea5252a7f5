"""Every output and table in README.md and docs/, made by running what they show: `python -m scripts.docs`."""
