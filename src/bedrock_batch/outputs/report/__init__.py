"""The report of a run as one HTML page, made from the summary and the sample rows. Counts nothing itself."""
