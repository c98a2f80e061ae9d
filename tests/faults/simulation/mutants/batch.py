"""Mutants of the package `batch`."""

from faults.simulation.mutants.mutant import Mutant

RUNNER, MONITOR, CREATION, JOB, DOWNLOAD, BACKGROUND = (
    f"batch/jobs/{name}.py" for name in ("runner", "monitor", "creation", "job", "download", "background")
)
PROCESSOR, BATCH_RUN, READER = (
    f"batch/{name}.py" for name in ("bedrock_batch_processor", "batch_run", "results/reader")
)

MUTANTS = (
    # Running jobs.
    Mutant(
        RUNNER,
        "a planned job is not written",
        'self._ledger.put_job(job.entry("planned"))\n            self._upload(job)',
        "self._upload(job)",
    ),
    Mutant(
        RUNNER,
        "a refused job is not written",
        'self._ledger.put_job(job.entry("refused"))\n        return job',
        "return job",
    ),
    Mutant(RUNNER, "one job too many runs", "return running < self._settings", "return running <= self._settings"),
    Mutant(RUNNER, "jobs are looked at all the time", "if job.next_poll <= now]", "if True]"),
    Mutant(
        RUNNER,
        "a creation that was put off is repeated at once",
        "self._context.clock() < self._creator.not_before",
        "False",
    ),
    Mutant(
        RUNNER,
        "a running job is not taken up again",
        "self._monitor.begin(job)\n                self._active.append(job)\n            case",
        "self._monitor.begin(job)\n            case",
    ),
    Mutant(RUNNER, "an ended job is not read again", "                job.state = ended_state(known)\n", ""),
    Mutant(
        RUNNER,
        "waiting for a free job goes round in circles",
        "if self._ready and self._may_create() and not (self._ends or self._budget.must_wait(self._active)):",
        "if self._ready:",
    ),
    Mutant(
        RUNNER,
        "a process that ends early stops its jobs",
        "if self._settings.batch_resume:",
        "if not self._settings.batch_resume:",
    ),
    Mutant(
        RUNNER,
        "jobs are not stopped when time runs out",
        "            self._monitor.stop(job, reason)\n",
        "            pass\n",
    ),
    Mutant(
        RUNNER,
        "other prompts are taken for the same job",
        "known.content_digest != job.file",
        "known.content_digest == job.file",
    ),
    Mutant(CREATION, "a job is created without the fence", "                fence.check()\n", ""),
    Mutant(
        RUNNER,
        "parts of a killed upload stay",
        "            self._abort_uploads()\n            while",
        "            while",
    ),
    # Watching jobs.
    Mutant(MONITOR, "a running job is taken for ended", "return state.terminal\n", "return True\n"),
    Mutant(
        MONITOR,
        "a failed look is taken for an end",
        "self._count_failure(job, error)\n            return False",
        "self._count_failure(job, error)\n            return True",
    ),
    Mutant(MONITOR, "a failed look is repeated at once", "max(error.retry_after or 0.0, self._wait(job))", "0.0"),
    # Creating jobs and reading them.
    Mutant(
        CREATION,
        "each try has a token of its own",
        "client_request_token(self._run_id, job.file.content_digest)",
        "client_request_token(self._run_id, str(self._context.clock()))",
    ),
    Mutant(CREATION, "a creation is not put off", "self._not_before = self._context.clock() + wait", "pass"),
    Mutant(
        CREATION,
        "a refused creation is taken for a job",
        '            job.problem = f"AWS refused the batch job: {error}"\n',
        "",
    ),
    Mutant(DOWNLOAD, "result files are not kept", "            paths.append(path)\n", ""),
    Mutant(JOB, "the ARN of a job is not written", "arn=self.arn,", "arn=None,"),
    Mutant(
        JOB, "the place of results is not written", "output_uri=known.output_uri if known else None", "output_uri=None"
    ),
    Mutant(
        "batch/jobs/cutover.py",
        "the end of the container is forgotten",
        "return self.deadline - CLOSING_SECONDS",
        "return self.deadline + CLOSING_SECONDS",
    ),
    Mutant(JOB, "a refused creation is repeated too soon", "wait * uniform(0.5, 1.0)", "wait * uniform(0.0, 0.1)"),
    Mutant(JOB, "jobs are looked at too soon", "return wait * uniform(1.0 - POLL_JITTER", "return wait * uniform(0.0"),
    # Asking in real time.
    Mutant(
        BACKGROUND,
        "an error in the thread of the jobs is forgotten",
        '            ending = ("error", error)  # handed over whole',
        '            ending = ("end", None)  # handed over whole',
    ),
    # What came of the jobs.
    Mutant(
        PROCESSOR,
        "a run changes its mode when it is continued",
        "if run.ledger.mode is not None:",
        "if False:",
    ),
    Mutant(
        BATCH_RUN,
        "answers of real time are dropped",
        "            outputs[output.number] = replace(output, salvaged_from=causes[output.number])\n",
        "            pass\n",
    ),
    Mutant(
        BATCH_RUN,
        "jobs are split anew under other limits",
        "splits = splits or [EarlierSplit(entry.stop, entry.max_bytes) for entry in run.ledger.jobs]",
        "splits = splits or []",
    ),
    Mutant(
        READER,
        "another record's line is believed",
        "prompt_check(echoed) != sent.checks[number]",
        "False",
    ),
)
