"""Build the image of the step and run the step in it against the local Bedrock: `make image-test`.

It needs no image registry and no Docker engine: buildah builds the Dockerfile on a base image from debootstrap. If a
tool is missing, the test is skipped with the reason; with `--require` it fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "image"
BASE = "localhost/bedrock-batch-base:bookworm"
IMAGE = "localhost/bedrock-batch-processing:test"
SUITE = "bookworm"
ROWS = 150
# Packages of the base system that an official Python image does not contain either.
NOT_IN_AN_IMAGE = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man")
BUILDAH = ["buildah", "--root", str(WORK / "store"), "--runroot", str(WORK / "run"), "--storage-driver", "overlay"]
SCHEMA = {"type": "object", "properties": {"label": {"enum": ["a", "b"]}, "score": {"type": "number"}}}
SETTINGS = {
    "BEDROCK_PRIMARY_MODEL_ID": "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "BEDROCK_MAX_TOKENS": "256",
    "BEDROCK_BATCH_MODE": "batch",
    "BEDROCK_BATCH_FALLBACK": "fail",
    "BEDROCK_BATCH_ROLE_ARN": "arn:aws:iam::123456789012:role/step",
    "BEDROCK_BATCH_INPUT_S3_PATH": "s3://image-test/input",
    "BEDROCK_BATCH_OUTPUT_S3_PATH": "s3://image-test/output",
    "BEDROCK_BATCH_POLL_INITIAL_SECONDS": "0.2",
    "BEDROCK_CANARY_RECORDS": "0",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--require", action="store_true", help="fail where the image cannot be built")
    options = parser.parse_args()
    if reason := why_not():
        print(f"image-test: {'failed' if options.require else 'skipped'}: {reason}")
        return 1 if options.require else 0
    make_base()
    build()
    config = inspect()
    checks: list[Callable[[dict[str, Any]], None]] = [check_config, check_content, check_run, check_user, check_failure]
    for check in checks:
        check(config)
        print(f"image-test: ok: {(check.__doc__ or '').splitlines()[0]}", flush=True)
    print(f"image-test: image {size(IMAGE)}, of which base {size(BASE)}")
    return 0


def why_not() -> str | None:
    """Return the reason why the image cannot be built on this machine, or None."""
    if os.geteuid() != 0:
        return "buildah and debootstrap need root here"
    if shutil.which("buildah") is None:
        return "buildah is not installed (Debian: apt-get install --no-install-recommends buildah debootstrap)"
    if shutil.which("debootstrap") is None and not has_image(BASE):
        return "debootstrap is not installed (Debian: apt-get install --no-install-recommends debootstrap)"
    return None


def buildah(*arguments: str, check: bool = True, capture: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*BUILDAH, *arguments], capture_output=capture, text=True, check=False)
    if check and done.returncode != 0:
        raise SystemExit(f"image-test: failed: buildah {arguments[0]}\n{done.stdout}\n{done.stderr}")
    return done


def has_image(name: str) -> bool:
    return buildah("inspect", "--type", "image", name, check=False).returncode == 0


def make_base() -> None:
    """Make a Debian base image with Python if it does not exist."""
    if has_image(BASE):
        return
    root = WORK / "root"
    shutil.rmtree(root, ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    command = ["debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", SUITE, str(root)]
    print("image-test: debootstrap makes the base system", flush=True)
    with (WORK / "debootstrap.log").open("wb") as log:
        if subprocess.run(command, stdout=log, stderr=log, check=False).returncode != 0:
            raise SystemExit(f"image-test: failed: debootstrap, see {WORK / 'debootstrap.log'}")
    for folder in NOT_IN_AN_IMAGE:
        shutil.rmtree(root / folder, ignore_errors=True)
    archive = WORK / "base.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".")
    container = buildah("from", "scratch").stdout.strip()
    buildah("add", "--quiet", container, str(archive), "/")
    buildah("commit", "--quiet", "--rm", container, BASE)
    archive.unlink()
    shutil.rmtree(root)


def build() -> None:
    """Build the Dockerfile, with the certificates that the environment names for pip."""
    trusted = next((path for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE") if (path := os.environ.get(name))), None)
    secret = ["--secret", f"id=ca_bundle,src={trusted}"] if trusted else []
    arguments = ["--build-arg", f"BASE_IMAGE={BASE}", "--pull-never", "--format", "docker", *secret]
    print("image-test: buildah builds the image", flush=True)
    buildah("bud", "--isolation", "chroot", "--layers", *arguments, "--tag", IMAGE, str(ROOT))


def inspect() -> dict[str, Any]:
    description = json.loads(buildah("inspect", "--type", "image", IMAGE).stdout)
    config: dict[str, Any] = description["OCIv1"]["config"]
    return config


def size(name: str) -> str:
    return buildah("images", "--format", "{{.Size}}", name).stdout.strip()


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise SystemExit(f"image-test: failed: {what} is {found!r}, not {wanted!r}")


def run_in_image(*command: str, user: str = "root", volume: Path | None = None, environ: dict[str, str] | None = None):
    """Run a command in a fresh container, as `docker run` would, and return the finished process."""
    container = buildah("from", "--pull-never", IMAGE).stdout.strip()
    try:
        mounts = ["--volume", f"{volume}:/opt/ml:rw"] if volume else []
        variables = [part for name, value in (environ or {}).items() for part in ("--env", f"{name}={value}")]
        options = ["--isolation", "chroot", "--user", user, *mounts, *variables]
        return buildah("run", *options, container, "--", *command, check=False)
    finally:
        buildah("rm", container)


def prepare(name: str, rows: int) -> Path:
    """Make the /opt/ml of a container with `rows` rows of input, and return it."""
    opt_ml = WORK / "runs" / name
    shutil.rmtree(opt_ml, ignore_errors=True)
    for folder in ("data", "templates", "schema"):
        (opt_ml / "processing" / "input" / folder).mkdir(parents=True)
    (opt_ml / "output").mkdir()
    data = opt_ml / "processing" / "input"
    if rows:
        (data / "data" / "rows.csv").write_text("id,text\n" + "".join(f"{i:05d},text {i}\n" for i in range(rows)))
    (data / "templates" / "prompts.json").write_text(json.dumps({"user_prompt_template": "Label {text}"}))
    (data / "schema" / "validation_schema_1.json").write_text(json.dumps(SCHEMA))
    return opt_ml


def run_step(config: dict[str, Any], opt_ml: Path, user: str) -> subprocess.CompletedProcess[str]:
    """Run the image's entry point against a local Bedrock of this process."""
    sys.path.insert(0, str(ROOT / "src"))
    from local_bedrock import LocalBedrock

    with LocalBedrock(answers=SCHEMA) as local:
        local.create_bucket("image-test")
        command = [*config["Entrypoint"], "--job_type", "validation"]
        return run_in_image(*command, user=user, volume=opt_ml, environ={**SETTINGS, **local.environment})


def check_config(config: dict[str, Any]) -> None:
    """the image has an entry point in exec form, labels, and no health check"""
    entry = ["/opt/venv/bin/python", "/opt/bedrock-batch/bedrock_batch_processing.py"]
    expect("the entry point", config["Entrypoint"], entry)
    expect("a label", config["Labels"]["org.opencontainers.image.title"], "bedrock-batch-processing")
    expect("the health check", config.get("Healthcheck"), None)


def check_content(_: dict[str, Any]) -> None:
    """no compiler, cache or secret is left in the image"""
    script = "ls -d /root/.cache /tmp/* /run/secrets/* /build /usr/bin/gcc /opt/venv/bin/moto_server 2>/dev/null; true"
    expect("what is left", run_in_image("sh", "-c", script).stdout.split(), [])


def check_run(config: dict[str, Any]) -> None:
    """the step answers every row by a batch job, as root"""
    check_outputs(run_step(config, opt_ml := prepare("root", ROWS), "root"), opt_ml)


def check_user(config: dict[str, Any]) -> None:
    """the step also runs as an unprivileged user who owns /opt/ml"""
    opt_ml = prepare("user", ROWS)
    for path in [opt_ml, *opt_ml.rglob("*")]:
        os.chown(path, 1000, 1000)
    check_outputs(run_step(config, opt_ml, "1000:1000"), opt_ml)


def check_outputs(done: subprocess.CompletedProcess[str], opt_ml: Path) -> None:
    if done.returncode != 0:
        raise SystemExit(f"image-test: failed: the step ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    output = opt_ml / "processing" / "output"
    lines = (output / "data" / "validation_processed_data.csv").read_text().splitlines()
    expect("the ids of the output", [line[:5] for line in lines[1:]], [f"{i:05d}" for i in range(ROWS)])
    (path,) = (output / "summary").glob("processing_summary_*.json")
    summary = json.loads(path.read_text())
    found = (summary["total_records"], summary["failed_records"], summary["sources"])
    expect("the summary", found, (ROWS, 0, {"batch": ROWS}))


def check_failure(config: dict[str, Any]) -> None:
    """a step without input ends with exit code 2 and an exit message"""
    opt_ml = prepare("empty", 0)
    expect("the exit code", run_step(config, opt_ml, "root").returncode, 2)
    message = (opt_ml / "output" / "message").read_text(encoding="utf-8")
    expect("the exit message", "no .csv, .tsv or .parquet file" in message, True)


if __name__ == "__main__":
    sys.exit(main())
