"""How overlay2 lies on the disk: directories, short links and lower files.

Owns `<root>/overlay2` in Docker's layout, or another driver's directory of the same layout. It
mounts nothing. The facts are those of moby's daemon/graphdriver/overlay2.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import re
import string
from collections.abc import Callable, Iterator

from layerstore.drivers.errors import DriverError, InvalidMetadata, LayerDoesNotExist
from layerstore.drivers.model.ids import check_layer_id, is_layer_store_id
from layerstore.drivers.system.apart import lay_apart
from layerstore.drivers.system.durable import create, make_directories
from layerstore.drivers.system.small_file import Place, names_in, opened, read_small
from layerstore.drivers.system.throwing_away import throw_away_from

MAX_LOWERS = 500
"""Linux: OVL_MAX_STACK. How deep a chain may be is decided elsewhere; moby mounts 128."""
_LINK = re.compile(r"[A-Z2-7]{26}\Z")
_LOWER = re.compile(r"l/[A-Z2-7]{26}\Z")
_TARGET = re.compile(r"\.\./([0-9a-z]+(?:-init)?)/diff\Z")
_AS_LINK = str.maketrans(
    string.digits + string.ascii_lowercase, string.ascii_uppercase + "234567ABCD"
)
_UMASK = 0o022
_MAX_LOWER_FILE = 16_384
_MOST_KNOWN = 256
"""Layers whose lower file is remembered: some 10 KiB each at most."""
_log = logging.getLogger("layerstore")


class Layout:
    """The directories of one overlay2 home."""

    def __init__(self, root: str, name: str = "overlay2", *, durable: bool) -> None:
        self._durable = durable
        self.home = f"{root}/{name}"
        self.links = f"{self.home}/l"
        self._home = Place(self.home)
        self._links = Place(self.links)
        self._has_umask = False
        self._known: dict[str, list[str]] = {}
        """Lower files by layer. None is ever changed, and no ID given twice but by who undoes."""

    @contextlib.contextmanager
    def near(self) -> Iterator[Layout]:
        """Give the same for a `with` block, by open directories. Raises DriverError.

        Meanwhile the umask is what directories want, so this is for processes of one thread.
        """
        with opened(self.home) as home, opened(self.links) as links:
            near = copy.copy(self)
            near._home, near._links = home, links
            near._has_umask = True
            umask = os.umask(_UMASK)
            try:
                yield near
            finally:
                os.umask(umask)

    def prepare(self) -> None:
        """Make the home and the directory of short links."""
        for path, mode in ((self.home, 0o710), (self.links, 0o700)):
            make_directories(path, mode=mode, durable=self._durable)
        lay_apart(self.home)

    def path(self, layer_id: str) -> str:
        """Return a layer's directory."""
        return f"{self.home}/{check_layer_id(layer_id)}"

    def ids(self) -> Iterator[str]:
        """Yield what lies in the home, the short links aside."""
        with os.scandir(self.home) as entries:
            for entry in entries:
                if entry.name != "l" and entry.is_dir(follow_symlinks=False):
                    yield entry.name

    def make(self, layer_id: str, parent: str | None, mode: int = 0o710) -> list[str]:
        """Make a layer's directories, its short link and its lower file; the parent is committed.

        `mode` is that of the layer's directory. Returns what has to be synced for it to be there
        for good. On an error nothing is left.
        """
        lowers = self._lowers_on(parent) if parent is not None else []
        path = self.path(layer_id)
        at, fd = self._home.at(layer_id), self._home.fd
        try:
            os.mkdir(at, mode, dir_fd=fd)
        except OSError as error:
            raise DriverError.from_os_error("mkdir", path, error) from error
        link = short_link(layer_id)
        files = [f"{path}/link"]
        try:
            os.mkdir(f"{at}/diff", 0o755, dir_fd=fd)
            if not self._has_umask:
                os.chmod(f"{at}/diff", 0o755, dir_fd=fd)
            # First, so that whoever finds half a layer knows it.
            create(f"{at}/link", link.encode(), mode=0o644, directory=fd)
            os.symlink(f"../{layer_id}/diff", self._links.at(link), dir_fd=self._links.fd)
            if lowers:
                os.mkdir(f"{at}/work", 0o700, dir_fd=fd)
                create(f"{at}/lower", ":".join(lowers).encode(), mode=0o644, directory=fd)
                files.append(f"{path}/lower")
        except BaseException as error:
            self._unmake(path, layer_id, link)
            if isinstance(error, OSError):
                raise DriverError.from_os_error("make", path, error) from error
            raise
        self._know(layer_id, lowers)
        return [*files, path, self.links, self.home]

    def unmake(self, layer_id: str) -> None:
        """Undo `make` of a layer that was never used. Raises DriverError."""
        path = self.path(layer_id)
        try:
            self._unmake(path, layer_id, short_link(layer_id))
        except OSError as error:
            raise DriverError.from_os_error("remove", path, error) from error
        self._known.pop(layer_id, None)

    def _unmake(self, path: str, layer_id: str, link: str) -> None:
        for name in ("lower", "link"):
            _gone(os.unlink, f"{path}/{name}")
        for name in ("work", "diff", ""):
            _gone(os.rmdir, f"{path}/{name}")
        if self._leads_to(layer_id, link):
            _gone(os.unlink, f"{self.links}/{link}")

    def _lowers_on(self, parent: str) -> list[str]:
        """Return the lower directories of a layer on `parent`, which is committed by that."""
        path = self.path(parent)
        known = self._known.get(f"on {parent}")
        marker = f"{self._home.at(parent)}/committed"
        if known is not None and os.access(marker, os.F_OK, dir_fd=self._home.fd):
            return known
        lowers = [f"l/{self.link(parent)}", *self.known_lowers(parent)]
        if len(lowers) > MAX_LOWERS:
            raise InvalidMetadata(path, f"more than {MAX_LOWERS} layers deep")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            os.close(os.open(f"{path}/committed", flags, 0o600))
        except FileExistsError:
            pass  # whatever it is: its name says it all
        except OSError as error:
            raise DriverError.from_os_error("commit", path, error) from error
        self._know(f"on {parent}", lowers)
        return lowers

    def known_lowers(self, layer_id: str) -> list[str]:
        """Return the same as `lowers`, which may have been read before."""
        known = self._known.get(layer_id)
        if known is None:
            known = self.lowers(layer_id)
            self._know(layer_id, known)
        return known

    def _know(self, what: str, lowers: list[str]) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[what] = lowers

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
        return [self.target(lower) for lower in self.known_lowers(layer_id)]

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

    def take_away(self, layer_id: str, trash: str) -> str:
        """Move a layer into the trash, then remove its short link; returns where it lies now.

        In this order a failure leaves the layer whole. What stays of the link after a crash, or
        where it can't be removed, leads nowhere and is removed by `tidy`.
        """
        path = self.path(layer_id)
        made = short_link(layer_id)
        link: str | None = made
        if not self._leads_to(layer_id, made):
            found = _read(f"{path}/link")  # another engine's
            link = found if found is not None and _LINK.match(found) else None
        thrown = throw_away_from(self._home, layer_id, trash, layer_id)
        self._known.pop(layer_id, None)
        if link is not None:
            _remove_link(self._links, link)
        return thrown

    def may_be_mounted(self, layer_id: str) -> bool:
        """Whether there is a mount point."""
        at = f"{self._home.at(check_layer_id(layer_id))}/merged"
        return os.access(at, os.F_OK, dir_fd=self._home.fd, follow_symlinks=False)

    def _leads_to(self, layer_id: str, link: str) -> bool:
        try:
            found = os.readlink(self._links.at(link), dir_fd=self._links.fd)
        except OSError:
            return False
        return found == f"../{layer_id}/diff"

    def tidy(self) -> None:
        """Remove short links that a crash left without their layer; others' are left alone.

        Every layer has one, so that where there are no more of them than layers, none is looked at.
        """
        try:
            layers = sum(map(is_layer_store_id, os.listdir(self.home)))
            if len(os.listdir(self.links)) <= layers:
                return
        except OSError as error:
            raise DriverError.from_os_error("list", self.links, error) from error
        for name, layer_id in self.short_links():
            ours = layer_id is not None and is_layer_store_id(layer_id)
            if ours and not os.path.lexists(f"{self.home}/{layer_id}"):
                _remove_link(self._links, name)

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


def short_link(layer_id: str) -> str:
    """Return the name of the short link that is made for a layer.

    moby's are random, and so are IDs, of which this is a part: another of an init layer than of the
    layer on it.
    """
    digits, _, init = layer_id.partition("-")
    return (digits[::-1] if init else digits * 2)[:26].translate(_AS_LINK)


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


def _remove_link(links: Place, name: str) -> None:
    try:
        os.unlink(links.at(name), dir_fd=links.fd)
    except FileNotFoundError:
        return
    except OSError as error:
        # The layer has been moved already, so its removal has not failed.
        path = f"{links.path}/{name}"
        _log.warning("a short link without a layer stays for now: %s: %s", path, error)


def _gone(remove: Callable[[str], None], path: str) -> None:
    try:
        remove(path)
    except (FileNotFoundError, NotADirectoryError):
        return
