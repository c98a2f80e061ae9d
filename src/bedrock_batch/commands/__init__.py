"""What a user starts: a run, its plan, the doctor. How rows are answered is in the packages below."""
