"""How overlay2 lies on the disk: directories, short links and lower files.

Owns `<root>/overlay2` in Docker's layout. It mounts nothing. The facts are those of moby's
daemon/graphdriver/overlay2.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator

from layerstore.drivers.errors import DriverError, InvalidMetadata, LayerDoesNotExist
from layerstore.drivers.model.ids import check_layer_id, is_layer_store_id
from layerstore.drivers.system.durable import make_directories, sync_directory, write_new
from layerstore.drivers.system.small_file import names_in, read_small
from layerstore.drivers.system.throwing_away import throw_away

MAX_LOWERS = 128
"""moby: overlay2.maxDepth."""
_LINK = re.compile(r"[A-Z2-7]{26}\Z")
_LOWER = re.compile(r"l/[A-Z2-7]{26}\Z")
_TARGET = re.compile(r"\.\./([0-9a-z]+(?:-init)?)/diff\Z")
_MAX_LOWER_FILE = 16_384
_log = logging.getLogger("layerstore")


class Layout:
    """The directories of one overlay2 home."""

    def __init__(self, root: str, *, durable: bool) -> None:
        self._durable = durable
        self.home = f"{root}/overlay2"
        self.links = f"{self.home}/l"

    def prepare(self) -> None:
        """Make the home and the directory of short links."""
        for path, mode in ((self.home, 0o710), (self.links, 0o700)):
            make_directories(path, mode=mode, durable=self._durable)

    def path(self, layer_id: str) -> str:
        """Return a layer's directory."""
        return f"{self.home}/{check_layer_id(layer_id)}"

    def ids(self) -> Iterator[str]:
        """Yield what lies in the home, the short links aside."""
        with os.scandir(self.home) as entries:
            for entry in entries:
                if entry.name != "l" and entry.is_dir(follow_symlinks=False):
                    yield entry.name

    def make(self, layer_id: str, parent: str | None) -> None:
        """Make a layer's directories, its short link and its lower file; the parent is committed.

        On an error nothing is left.
        """
        lowers = self._lowers_on(parent) if parent is not None else []
        path = self.path(layer_id)
        try:
            os.mkdir(path, 0o710)
        except OSError as error:
            raise DriverError.from_os_error("mkdir", path, error) from error
        link = None
        try:
            os.mkdir(f"{path}/diff", 0o755)
            os.chmod(f"{path}/diff", 0o755)  # whatever the umask
            link = base64.b32encode(os.urandom(17)).decode()[:26]
            self._write(f"{path}/link", link)  # first, so that whoever finds half a layer knows it
            os.symlink(f"../{layer_id}/diff", f"{self.links}/{link}")
            if parent is not None:
                os.mkdir(f"{path}/work", 0o700)
                self._commit(parent)
                self._write(f"{path}/lower", ":".join(lowers))
            if self._durable:
                for directory in (path, self.links, self.home):
                    sync_directory(directory)
        except BaseException as error:
            self._unmake(path, link)
            if isinstance(error, OSError):
                raise DriverError.from_os_error("make", path, error) from error
            raise

    def _write(self, path: str, content: str) -> None:
        write_new(path, content.encode(), durable=self._durable, mode=0o644)

    def _unmake(self, path: str, link: str | None) -> None:
        for name in ("lower", "link"):
            _gone(os.unlink, f"{path}/{name}")
        for name in ("work", "diff", ""):
            _gone(os.rmdir, f"{path}/{name}")
        if link is not None:
            _gone(os.unlink, f"{self.links}/{link}")

    def _commit(self, parent: str) -> None:
        marker = f"{self.path(parent)}/committed"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with contextlib.suppress(FileExistsError):  # whatever it is: its name says it all
            os.close(os.open(marker, flags, 0o600))

    def _lowers_on(self, parent: str) -> list[str]:
        lowers = [f"l/{self.link(parent)}", *self.lowers(parent)]
        if len(lowers) > MAX_LOWERS:
            raise InvalidMetadata(self.path(parent), f"more than {MAX_LOWERS} layers deep")
        return lowers

    def link(self, layer_id: str) -> str:
        """Return the name of a layer's short link."""
        path = f"{self.path(layer_id)}/link"
        link = _read(path)
        if link is None:
            raise LayerDoesNotExist(layer_id)
        if not _LINK.match(link):
            raise InvalidMetadata(path, "not the name of a short link")
        return link

    def lowers(self, layer_id: str) -> list[str]:
        """Return a layer's lower file: short links relative to the home, nearest parent first."""
        path = f"{self.path(layer_id)}/lower"
        content = _read(path)
        if content is None:
            return []
        lowers = content.split(":")
        if not all(_LOWER.match(lower) for lower in lowers):
            raise InvalidMetadata(path, "not a list of short links")
        return lowers

    def lower_directories(self, layer_id: str) -> list[str]:
        """Return the parents' diff directories, nearest first, none of them outside the home."""
        return [self.target(lower) for lower in self.lowers(layer_id)]

    def target(self, lower: str) -> str:
        """Return the diff directory that a short link leads to."""
        path = f"{self.home}/{lower}"
        try:
            target = os.readlink(path)
        except OSError as error:
            raise DriverError.from_os_error("readlink", path, error) from error
        parts = target.split("/")
        if len(parts) != 3 or parts[0] != ".." or parts[2] != "diff":
            raise InvalidMetadata(path, f"leads to {target!r}")
        return f"{self.path(parts[1])}/diff"

    def is_parent(self, layer_id: str, parent: str | None) -> bool:
        """Whether `parent` is what the layer was made on."""
        lowers = self.lowers(layer_id)
        if parent is None:
            return not lowers
        return bool(lowers) and self.target(lowers[0]) == f"{self.path(parent)}/diff"

    def is_committed(self, layer_id: str) -> bool:
        """Whether the layer is somebody's parent, so that it must not be written to any more."""
        return os.path.lexists(f"{self.path(layer_id)}/committed")

    def take_away(self, layer_id: str, trash: str) -> None:
        """Move a layer into the trash, then remove its short link.

        In this order a failure leaves the layer whole. What stays of the link after a crash, or
        where it can't be removed, leads nowhere and is removed by `tidy`.
        """
        path = self.path(layer_id)
        link = _read(f"{path}/link")
        throw_away(path, trash, layer_id)
        if link is not None and _LINK.match(link):
            _remove_link(f"{self.links}/{link}")

    def tidy(self) -> None:
        """Remove short links that a crash left without their layer; others' are left alone.

        Every layer has one, so that where there are no more of them than layers, none is looked at.
        """
        try:
            if len(os.listdir(self.links)) < len(os.listdir(self.home)):  # which is one of those
                return
        except OSError as error:
            raise DriverError.from_os_error("list", self.links, error) from error
        for name, layer_id in self.short_links():
            ours = layer_id is not None and is_layer_store_id(layer_id)
            if ours and not os.path.lexists(f"{self.home}/{layer_id}"):
                _remove_link(f"{self.links}/{name}")

    def short_links(self) -> Iterator[tuple[str, str | None]]:
        """Yield what lies among the short links: a name, and the ID of the layer it leads to.

        The ID is None for what is no short link.
        """
        for name in names_in(self.links):
            try:
                found = _TARGET.match(os.readlink(f"{self.links}/{name}"))
            except OSError:
                found = None  # no symbolic link, or gone meanwhile
            yield name, found[1] if found and _LINK.match(name) else None


def _read(path: str) -> str | None:
    try:
        content = read_small(path, _MAX_LOWER_FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DriverError.from_os_error("open", path, error) from error
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidMetadata(path, "not ASCII") from error


def _remove_link(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        # The layer has been moved already, so its removal has not failed.
        _log.warning("a short link without a layer stays for now: %s", error)


def _gone(remove: Callable[[str], None], path: str) -> None:
    try:
        remove(path)
    except (FileNotFoundError, NotADirectoryError):
        return
