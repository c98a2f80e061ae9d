"""What a run leaves behind: output files, figures, summary and report. Asks no model."""
