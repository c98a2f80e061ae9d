"""Which records share a job, and the files of jobs on disk. What AWS does with them is in `jobs`."""
