"""dockerd and layerstore change one root in turn, at random, and agree on it after every turn."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.dockerd import DockerdRefused
from layerstore import ImageInUse, LayerStore
from tests.docker.api import Docker
from tests.docker.content import base_tar
from tests.docker.facts import Facts, ask_docker, ask_store, check_disk, check_same
from tests.docker.root import (
    DOCKERS_DRIVERS,
    DockerRoot,
    control_groups,
    need_dockerd,
    place_for,
)
from tests.support.options import AmountOf
from tests.tar.corpus.builder import directory, file, link, tar

pytestmark = [pytest.mark.root, pytest.mark.thorough, pytest.mark.timeout(300)]

STEPS = 4
MAX_LAYERS = 20
SCRIPTS = (
    "echo {n} > /base/file{n} && rm -f /base/gone",
    "rm -rf /base/remade && mkdir /base/remade && echo {n} > /base/remade/{n}",
    "ln /base/file /base/link{n} && mkfifo /base/fifo{n} && mknod /base/null{n} c 1 3",
    "rm -rf /base/keep && echo {n} > /base/keep",
    "rm -rf /base/keep && mkdir -p /base/keep/{n} && chmod 4755 /base/mode",
    "mkdir -p /srv/{n}/deep && echo {n} > /srv/{n}/deep/file && chown {n}:7 /srv/{n}",
    "chmod 1777 /base && echo {n} >> /base/owner && cp /base/owner '/base/ü{n}'",
    "true",
)


class Game:
    """The root and the dice."""

    def __init__(self, root: DockerRoot, seed: int) -> None:
        self.root = root
        self.dice = random.Random(seed)  # noqa: S311 - not for secrets
        self.count = 0
        self.archives: list[Path] = []

    def number(self) -> int:
        """Return a number that was not used before."""
        self.count += 1
        return self.count

    def name(self) -> str:
        """Return a name for an image: mostly a new one, else one that may be taken."""
        number = self.number()
        return f"made:{number if self.dice.random() < 0.8 else self.dice.randint(1, number)}"

    def keep(self, archive: bytes | None = None) -> Path:
        """Return the path of a new archive, for the other engine to load."""
        path = self.root.place / f"archive{self.number()}.tar"
        if archive is not None:
            path.write_bytes(archive)
        self.archives.append(path)
        return path

    def script(self) -> str:
        return self.dice.choice(SCRIPTS).format(n=self.number())


class DockerPlayer:
    """Random operations by dockerd."""

    def __init__(self, docker: Docker, game: Game) -> None:
        self.docker = docker
        self.game = game
        self.dice = game.dice

    def play(self) -> str:
        """Do one thing; returns what."""
        depth = max(len(self.docker.inspect_image(i)["RootFS"]["Layers"]) for i in self._images())
        grow = [self.run, self.commit, self.commit, self.load] if depth < MAX_LAYERS else []
        what: Callable[[], None] = self.dice.choice(
            [*grow, self.run, self.tag, self.save, self.remove, self.remove_image, self.prune]
        )
        what()
        return what.__name__

    def _images(self) -> list[str]:
        return sorted(self.docker.images())

    def _names(self) -> list[str]:
        return sorted(name for names in self.docker.images().values() for name in names)

    def run(self) -> None:
        name = f"container{self.game.number()}"
        self.docker.run(name, self.dice.choice(self._images()), self.game.script())

    def _container(self) -> str | None:
        containers = sorted(self.docker.containers())
        return self.dice.choice(containers) if containers else None

    def commit(self) -> None:
        if container := self._container():
            self.docker.commit(container, self.game.name())

    def remove(self) -> None:
        if container := self._container():
            self.docker.remove(container)

    def tag(self) -> None:
        self.docker.tag(self.dice.choice(self._images()), self.game.name())

    def save(self) -> None:
        self.game.keep(self.docker.save(self.dice.choice(self._names())))

    def load(self) -> None:
        if self.game.archives:
            self.docker.load(str(self.dice.choice(self.game.archives)))

    def remove_image(self) -> None:
        name = self.dice.choice([name for name in self._names() if name != "base:1"] or [""])
        if name:
            with refused_with("409"):
                self.docker.remove_image(name)

    def prune(self) -> None:
        self.docker.prune_images()


class StorePlayer:
    """Random operations by layerstore."""

    def __init__(self, store: LayerStore, game: Game) -> None:
        self.store = store
        self.game = game
        self.dice = game.dice

    def play(self) -> str:
        """Do one thing; returns what."""
        depth = max(len(image.layers) for image in self.store.images.list())
        grow = [self.commit, self.commit, self.register, self.load] if depth < MAX_LAYERS else []
        what: Callable[[], None] = self.dice.choice(
            [
                *grow,
                self.create,
                self.change,
                self.fork,
                self.reset,
                self.tag,
                self.save,
                self.release,
                self.remove_image,
            ]
        )
        what()
        return what.__name__

    def _name(self) -> str:
        return self.dice.choice(
            sorted(name for image in self.store.images.list() for name in image.names)
        )

    def create(self) -> None:
        image = self.dice.choice(sorted(image.id for image in self.store.images.list()))
        with self.store.images.create(f"ours{self.game.number()}", image).mounted() as path:
            change(Path(path), self.game)

    def change(self) -> None:
        """Change one of our own or one of dockerd's containers."""
        names = [mount.name for mount in self.store.mounts()]
        if names:
            with self.store.get_rw_layer(self.dice.choice(names)).mounted() as path:
                change(Path(path), self.game)

    def fork(self) -> None:
        """Fork one of our own or one of dockerd's containers."""
        names = [mount.name for mount in self.store.mounts()]
        if names:
            source = self.store.get_rw_layer(self.dice.choice(names))
            one = source.fork(f"ours{self.game.number()}")
            assert one.changes() == source.changes()

    def reset(self) -> None:
        names = [mount.name for mount in self.store.mounts() if mount.name.startswith("ours")]
        if names:
            rw = self.store.get_rw_layer(self.dice.choice(names))
            rw.reset()
            assert rw.changes() == []

    def commit(self) -> None:
        mounts = self.store.mounts()
        known = [m.name for m in mounts if self.store.images.image_of(m.mount_id, m.parent)]
        if known:
            rw = self.store.get_rw_layer(self.dice.choice(known))
            self.store.images.commit(rw, self.game.name())

    def register(self) -> None:
        """Register a layer beneath which is some image's, kept by a read-write layer only."""
        number = self.game.number()
        content = tar(
            directory("base"),
            file(f"base/registered{number}", b"%d" % number),
            link(f"base/too{number}", f"base/registered{number}"),
            file("base/.wh.gone"),
            directory("base/remade"),
            file("base/remade/.wh..wh..opq"),
        )
        parent = self.store.images.get(self._name()).chain_id
        layer = self.store.register(content, parent)
        self.store.create_rw_layer(f"ours{number}", layer.chain_id)
        layer.release()

    def release(self) -> None:
        names = [mount.name for mount in self.store.mounts() if mount.name.startswith("ours")]
        if names:
            self.store.get_rw_layer(self.dice.choice(names)).release()

    def tag(self) -> None:
        image = self.dice.choice(sorted(image.id for image in self.store.images.list()))
        self.store.images.tag(image, self.game.name())

    def save(self) -> None:
        self.store.images.save([self._name()], self.game.keep())

    def load(self) -> None:
        if self.game.archives:
            self.store.images.load(self.dice.choice(self.game.archives))

    def remove_image(self) -> None:
        name = self._name()
        if name != "base:1":
            with contextlib.suppress(ImageInUse):
                self.store.images.remove(name)


def change(path: Path, game: Game) -> None:
    """Change a mounted root file system."""
    number = game.number()
    base = path / "base"
    match game.dice.randrange(4):
        case 0:
            (base / f"ours{number}").write_bytes(b"%d" % number)
            (base / "owner").unlink(missing_ok=True)
        case 1:
            shutil.rmtree(base / "remade", ignore_errors=True)
            (base / "remade").mkdir()
            (base / f"remade/ours{number}").write_bytes(b"x")
        case 2:
            os.link(base / "file", base / f"linked{number}")
            os.chown(base / "file", number, number)
        case 3:
            (path / f"made-by-us{number}/deep").mkdir(parents=True)
            os.symlink("/etc", path / f"made-by-us{number}/deep/link")


@contextlib.contextmanager
def refused_with(status: str) -> Iterator[None]:
    """Let dockerd refuse, but for this reason only."""
    try:
        yield
    except DockerdRefused as error:
        if f": {status} " not in str(error):
            raise


@pytest.fixture(params=DOCKERS_DRIVERS)
def root(request: pytest.FixtureRequest, base_directory: Path) -> Iterator[DockerRoot]:
    place = place_for(request.param, request, base_directory)
    try:
        need_dockerd(request, base_directory)
        with control_groups():
            yield DockerRoot(place, request.param)
    finally:
        shutil.rmtree(place)


def test_both_agree_after_every_turn_on_one_root(
    root: DockerRoot, amount: AmountOf, request: pytest.FixtureRequest
) -> None:
    seed = request.config.getoption("--docker-seed")
    game = Game(root, seed)
    done: list[str] = [f"seed {seed}"]
    with root.docker() as docker:
        docker.import_tar(base_tar(), "base:1")
    try:
        before = None
        for _ in range(amount("--docker-rounds")):
            with root.docker() as docker:
                if before is not None:
                    check_same(ask_docker(docker, save=True), before)
                player = DockerPlayer(docker, game)
                for _ in range(STEPS):
                    done.append(f"docker {player.play()}")
                theirs = ask_docker(docker, save=False)
            before = _layerstore_turn(root, game, theirs, done)
        assert before is not None
        with root.docker() as docker:
            check_same(ask_docker(docker, save=True), before)
        with root.store() as store:
            store.drain()
        assert list((root.data / "layerstore/trash").iterdir()) == []
    except BaseException:
        print("\n".join(done))
        raise


def _layerstore_turn(root: DockerRoot, game: Game, theirs: Facts, done: list[str]) -> Facts:
    with root.store() as store:
        check_disk(root, store)
        check_same(theirs, ask_store(store))
        playing = StorePlayer(store, game)
        for _ in range(STEPS):
            done.append(f"layerstore {playing.play()}")
    with root.store() as store:
        check_disk(root, store)
        return ask_store(store)
