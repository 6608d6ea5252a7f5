"""What only this project's own development needs: set-up, checks, the demo, and pages that write themselves."""
