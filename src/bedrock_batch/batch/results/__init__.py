"""Result files of batch jobs: their lines, matched with the records that were sent."""
