"""The image: what is in it, what its containers cannot do, and a NIC that is plugged from inside them."""

import filecmp
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.image.conftest import TAG, USER, Image, World
from tests.integration.user import VMI
from tests.manifests import plug, vmi
from tools.image import engines
from tools.image.command import run
from tools.image.commit import this_commit

from nicplug_sandbox import processes
from nicplug_sandbox.guests import read_guests
from nicplug_sandbox.nicplug_process import STOP_GRACE_SECONDS
from nicplug_sandbox.operator_process import stop_operator

pytestmark = pytest.mark.timeout(900)

# Nothing that a shell, a package manager or a compiler would be called by.
SHELLS, MANAGERS, COMPILERS = (
    {"sh", "dash", "bash", "busybox", "perl"},
    {"pip", "pip3", "apt", "dpkg"},
    {"gcc", "cc", "ld"},
)
# 146 MB on the base of Debian's packages. What the Dockerfile takes out of the Kubernetes client alone is 60 MB.
LARGEST_MB = 165


@pytest.fixture(scope="module")
def root(image: Image) -> Iterator[Path]:
    """The image's file system, mounted."""
    container = run(["buildah", *image.storage.options, "from", f"localhost/{TAG}"]).strip()
    yield Path(run(["buildah", *image.storage.options, "mount", container]).strip())
    run(["buildah", *image.storage.options, "rm", container])


def files(root: Path) -> list[Path]:
    """All of them, links included and not followed."""
    return [Path(folder) / name for folder, _, names in os.walk(root) for name in names]


class TestContents:
    def test_no_shell_package_manager_or_compiler(self, root: Path) -> None:
        executable = {path.name for path in files(root) if path.is_symlink() or path.stat().st_mode & 0o111}
        assert "python3" in executable
        assert executable & (SHELLS | MANAGERS | COMPILERS) == set()
        assert not list(root.glob("**/pip")) + list(root.glob("**/ensurepip"))

    def test_nothing_raises_privileges_or_can_be_replaced(self, root: Path) -> None:
        plain = [path.lstat() for path in files(root) if not path.is_symlink()]
        assert not [status for status in plain if status.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH)]
        assert not [path for path in files(root / "app") if path.lstat().st_uid != 0]

    def test_it_is_small(self, root: Path, image: Image) -> None:
        print(engines.sizes(tag=TAG, storage=image.storage))
        assert engines.size(root) / 1e6 < LARGEST_MB

    def test_nicplug_is_compiled_and_never_compared_with_its_sources(self, root: Path) -> None:
        sources = [path for path in files(root / "app") if path.suffix == ".py"]
        compiled = [path for path in files(root / "app") if path.suffix == ".pyc"]
        assert len(compiled) == len(sources) > 500
        # Bits 0 and 1 of the second word: by hash, and checked (PEP 552).
        assert {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled} == {1}

    def test_a_second_build_is_equal_byte_for_byte(self, image: Image, tmp_path: Path) -> None:
        """As the archives of a release are made."""
        first, second = tmp_path / "first.tar", tmp_path / "second.tar"
        engines.save(tag=TAG, archive=first, storage=image.storage)
        engines.with_buildah(tag=TAG, commit=this_commit(), storage=image.storage)
        engines.save(tag=TAG, archive=second, storage=image.storage)
        assert filecmp.cmp(first, second, shallow=False)

    def test_labels_say_what_it_was_made_of(self, image: Image) -> None:
        (found,) = json.loads(run([*image.podman, "image", "inspect", f"localhost/{TAG}"]))
        labels, commit = found["Config"]["Labels"], this_commit()
        name = "org.opencontainers.image"
        assert (labels[f"{name}.version"], labels[f"{name}.revision"]) == (commit.version, commit.revision)
        assert (labels[f"{name}.licenses"], labels[f"{name}.created"]) == ("Apache-2.0", commit.created)
        assert labels[f"{name}.base.name"].startswith("localhost/")
        assert found["Config"]["User"] == f"{USER}:{USER}"


class TestContainer:
    """With the restrictions of the operator's Deployment."""

    def python(self, image: Image, program: str) -> str:
        return run([*self.entry(image), "-c", program], seconds=60).strip()

    def entry(self, image: Image) -> list[str]:
        return image.command(name=f"python-{os.getpid()}", options=("--entrypoint=/usr/bin/python3",))

    def test_its_user_has_no_capabilities_and_gets_none(self, image: Image) -> None:
        status = self.python(image, "print(open('/proc/self/status').read())")
        rows = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert rows["Uid"].split() == [str(USER)] * 4
        assert {int(rows[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd")} == {0}
        assert (rows["NoNewPrivs"], rows["Seccomp"]) == ("1", "2")

    def test_it_writes_to_tmp_alone(self, image: Image) -> None:
        program = """\
import os
for folder in ("/", "/app", "/app/lib", "/home/nonroot", "/etc", "/var", "/tmp"):
    try:
        open(os.path.join(folder, "probe"), "w").close()
        print(folder, "written")
    except OSError as error:
        print(folder, error.strerror)
"""
        found = dict(line.split(" ", 1) for line in self.python(image, program).splitlines())
        assert found.pop("/tmp") == "written"
        assert set(found.values()) <= {"Read-only file system", "Permission denied"}

    def test_wrong_settings_end_it_with_their_name(self, image: Image) -> None:
        with pytest.raises(Exception, match="NICPLUG_SWEEP_INTERVAL_SECONDS"):
            image.run("run", options=("--env=NICPLUG_SWEEP_INTERVAL_SECONDS=soon",))


class TestHotplug:
    """Operator and API run from the image, and a NIC arrives in a running guest."""

    def test_a_nic_that_is_added_to_the_spec(self, world: World) -> None:
        user = world.user("by-spec")
        user.create(VMI, vmi("a"))
        user.until_running("a")
        user.change(VMI, "a", plug("blue"))
        user.until_ready("a", "blue")
        record = user.record("a", "blue")
        assert (record["operation"], record["path"], record["reason"]) == ("Plug", "Dynamic", "Attached")
        guest = read_guests(world.directory)["by-spec/a"]
        assert [nic["name"] for nic in guest["nics"]] == ["main", "blue"]

    def test_a_nic_that_is_asked_for_by_the_command_of_the_image(self, world: World, image: Image) -> None:
        """Through the aggregated API: container to API server to container."""
        user = world.user("by-command")
        user.create(VMI, vmi("a"))
        user.until_running("a")
        config = image.files / "admin.kubeconfig"
        shutil.copyfile(world.admin, config)
        os.chown(config, USER, USER)
        config.chmod(0o400)
        image.run(
            "add", "a", "--network=lan", "--name=red", "--wait", f"--kubeconfig={config}", "--namespace=by-command"
        )
        user.until_ready("a", "red")

    def test_they_end_in_time_and_met_no_bug(self, world: World) -> None:
        for process in (world.operator.process, world.api.process):
            assert processes.is_alive(process)
            assert "Traceback" not in process.log.read_text()
        assert world.operator.metric("nicplug_bugs_total") == 0
        # Podman hands SIGTERM on; without that it would be killed when the grace is over.
        began = time.monotonic()
        stop_operator(world.operator)
        assert time.monotonic() - began < STOP_GRACE_SECONDS
