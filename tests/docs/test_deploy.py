"""deploy/: no image is built here, but whatever the files say of the service is held against the service."""

import json
import re
import shlex
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer
import yaml

pytest.importorskip("uvicorn", reason="uvicorn is not installed: crossforge[serve]")

from crossforge.service.gate import _OPEN
from crossforge.service.settings import KEY_VARIABLE
from crossforge_train.cli.app import app
from crossforge_train.cli.serving import _GRACE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PACKAGE = "/srv/package"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments, in order."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def value_of(instruction: str) -> str:
    return [argument for name, argument in instructions() if name == instruction][-1]


def health_check() -> list[str]:
    return json.loads(value_of("HEALTHCHECK").partition("CMD ")[2])


def parsed(arguments: list[str]) -> dict:
    """The parameters of `crossforge ARGUMENTS…`."""
    command = typer.main.get_command(app)
    name, *others = arguments
    return command.commands[name].make_context(name, others).params


@pytest.fixture(scope="module")
def manifests() -> dict[str, dict]:
    found = yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text())
    return {manifest["kind"]: manifest for manifest in found}


@pytest.fixture(scope="module")
def container(manifests) -> dict:
    (found,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    return found


def test_the_images_command_line_is_one_that_the_command_takes():
    program, *arguments = json.loads(value_of("ENTRYPOINT"))
    found = parsed([*arguments, *json.loads(value_of("CMD"))])
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert (found["package"], found["host"], found["workers"]) == (PACKAGE, "0.0.0.0", 1)
    assert str(found["port"]) == value_of("EXPOSE")


def test_the_image_is_built_from_what_is_there_without_torch():
    built = [argument for name, argument in instructions() if name == "COPY" and not argument.startswith("--from")]
    copied = {source for argument in built for source in shlex.split(argument)[:-1]}
    assert all((ROOT / source).exists() for source in copied)
    let_in = {
        line[1:] for line in DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().split() if line[0] == "!"
    }
    assert let_in == copied  # all else, runs and secrets too, stays out of the build
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {*packages, project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"}
    assert all(any(name == source or name.startswith(f"{source}/") for source in copied) for name in needed)
    installed = [argument for name, argument in instructions() if name == "RUN" and "pip install" in argument]
    assert [re.findall(r'"(\S+)"', argument) for argument in installed] == [[".[serve]"]]
    named = " ".join(project["project"]["optional-dependencies"]["serve"] + project["project"]["dependencies"])
    assert not re.search(r"torch|transformers|pandas", named)


def test_the_image_runs_as_nobody_in_particular_and_holds_no_key():
    stages = [argument for name, argument in instructions() if name == "FROM"]
    assert len(stages) == 2
    user, group = value_of("USER").split(":")
    assert min(int(user), int(group)) > 1000
    assert f"--uid {user}" in value_of("RUN")
    assert KEY_VARIABLE not in DOCKERFILE.read_text()


@contextmanager
def answering(status: int):
    """A service that answers to GET /health with a status; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/health" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_tells_whether_the_service_answers(status, healthy):
    python, *arguments = health_check()
    assert python == "python"
    assert f"127.0.0.1:{value_of('EXPOSE')}/health" in arguments[-1]
    with answering(status) as port:
        command = [argument.replace(value_of("EXPOSE"), str(port)) for argument in arguments]
        finished = subprocess.run([sys.executable, *command], capture_output=True, check=False)
    assert (finished.returncode == 0) == healthy


def test_the_pods_command_line_goes_with_the_image(container):
    found = parsed([*json.loads(value_of("ENTRYPOINT"))[1:], *container["args"]])
    assert (found["package"], found["workers"]) == (PACKAGE, 2)
    assert container["ports"] == [{"name": "http", "containerPort": found["port"]}]


def test_probes_ask_what_is_open_without_the_key(container):
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in _OPEN
        assert asked["port"] == "http"
    (variable,) = container["env"]
    assert variable["name"] == KEY_VARIABLE
    assert set(variable["valueFrom"]) == {"secretKeyRef"}


def test_the_pod_may_do_little_and_has_time_to_end(manifests, container):
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    user, group = map(int, value_of("USER").split(":"))
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (True, user, group)
    own = container["securityContext"]
    assert own == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert mounts["/srv"]["readOnly"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in mounts.values()} == set(volumes)
    assert "emptyDir" in volumes[mounts["/tmp"]["name"]]  # where the workers' files go
    waited = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > waited + _GRACE
    assert set(container["resources"]) == {"requests", "limits"}


def test_service_and_autoscaler_mean_the_deployment(manifests, container):
    assert set(manifests) == {"Deployment", "Service", "HorizontalPodAutoscaler"}
    deployment, service, scaler = manifests.values()
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    target = scaler["spec"]["scaleTargetRef"]
    assert [target["kind"], target["name"]] == [deployment["kind"], deployment["metadata"]["name"]]
    assert target["apiVersion"] == deployment["apiVersion"]
    assert scaler["spec"]["metrics"][0]["resource"]["name"] in container["resources"]["requests"]
    assert "replicas" not in deployment["spec"]
