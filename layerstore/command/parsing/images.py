"""The verbs about images, with their arguments and help."""

from __future__ import annotations

import argparse

from layerstore.command.parsing import grammar
from layerstore.command.parsing.grammar import Commands, Verbs, add_verb


def _add_load(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import changing

    load = add_verb(
        commands,
        "load",
        changing.load,
        about,
        details="""
        SOURCE is what any docker save writes, or an OCI image layout: a tar, which may be
        compressed, or a directory. Every blob is checked against its digest. Layers that are in
        the store already aren't unpacked again. A load that fails leaves nothing.

        PATH:REF takes only the image that the archive calls REF: by a layout's annotation
        org.opencontainers.image.ref.name, or by a docker archive's tag. PATH:@N takes the Nth image
        that is listed, from 0.

        It may also be one of skopeo's transports: docker-daemon:NAME, oci:DIR[:REF], dir:DIR,
        oci-archive:FILE[:REF], docker-archive:FILE[:REF], containers-storage:[DRIVER@ROOT]NAME. A
        path that begins so is written ./oci:x.
        """,
        examples="""
        layerstore load image.tar
        layerstore load image.tar:app:1
        layerstore load < image.tar
        layerstore load docker-archive:image.tar:app:1
        """,
        makes=True,
    )
    load.add_argument(
        "archive",
        nargs="?",
        metavar="SOURCE",
        help="PATH[:REF] of a tar or a directory, or a transport (default: standard input)",
    )
    load.add_argument("-i", "--input", dest="archive_option", metavar="FILE", help="the same")
    load.add_argument(
        "-a", "--all", action="store_true", help="take a multi-platform image for every platform"
    )
    load.add_argument("--name", help="repository for images that the archive names by a tag only")
    load.add_argument("--platform", help="os/architecture[/variant] to choose (default: this one)")
    grammar.add_quiet(load)


def _add_save(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import changing

    save = add_verb(
        commands,
        "save",
        changing.save,
        about,
        details="""
        The tar is an OCI image layout and a docker archive in one. An image that is asked for by
        its ID is written without a name. Equal images give equal bytes.

        What comes last may be one of skopeo's transports: docker-daemon:NAME, oci:DIR[:REF],
        dir:DIR, oci-archive:FILE[:REF], docker-archive:FILE[:REF]. An OCI layout that is there gets
        one more image, which takes REF, or its names, from the one that has them.
        """,
        examples="""
        layerstore save app:1 -o saved.tar
        layerstore save app:1 | gzip > saved.tar.gz
        layerstore save app:1 oci:layout:latest
        """,
    )
    save.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="images, and a transport after them, unless with -o",
    )
    grammar.add_output(save)


def _add_import(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import transport

    parser = add_verb(
        commands,
        "import",
        transport.import_tar,
        about,
        details="The tar may be compressed. Prints the image's ID.",
        examples="""
        layerstore import rootfs.tar base:1
        layerstore import -c 'CMD ["/bin/sh"]' -c 'ENV LANG=C.UTF-8' - base:2 < rootfs.tar
        """,
        makes=True,
    )
    parser.add_argument(
        "tar", type=_no_address, metavar="FILE", help="the tar, or - for standard input"
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="repository[:tag] of the image")
    grammar.add_changes(parser)
    grammar.add_message(parser)
    parser.add_argument("--platform", help="os/architecture[/variant] (default: this machine's)")
    grammar.add_quiet(parser)


def _no_address(text: str) -> str:
    if text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(
            f"layerstore fetches nothing: curl -L {text} | layerstore import - ..."
        )
    return text


def _add_export(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import transport

    export = add_verb(
        commands,
        "export",
        transport.export,
        about,
        details="""
        Of a read-write layer (by name, or start of its ID), or of an image with its layers put
        together. Unlike save it keeps no layers, history or configuration.
        """,
        examples="""
        layerstore export web -o web.tar
        layerstore export app:1 | tar -t
        """,
    )
    export.add_argument("name", metavar="NAME", help="a read-write layer or an image")
    grammar.add_output(export)
    grammar.add_sparse(export)


def _add_flatten(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import transport

    flatten = add_verb(
        commands,
        "flatten",
        transport.flatten,
        about,
        details="""
        The new image shows the same files; configuration and history are kept. IMAGE stays as it
        is. Equal content gives an equal layer. Prints the new image's ID.
        """,
        examples="""
        layerstore flatten app:1 app:flat
        """,
        makes=True,
    )
    flatten.add_argument("image", metavar="IMAGE")
    flatten.add_argument("name", nargs="?", metavar="NAME", help="repository[:tag] of the new one")
    grammar.add_sparse(flatten)
    grammar.add_quiet(flatten)


def _add_images(commands: Commands, about: str) -> None:
    from layerstore.command.output.filters import IMAGE_FILTERS
    from layerstore.command.verbs import listings

    images = add_verb(
        commands,
        "images",
        listings.images,
        about,
        details="A line for each name; the newest image comes first.",
        examples="""
        layerstore images
        layerstore images --format '{{.ID}}\\t{{.Repository}}:{{.Tag}}'
        layerstore images --filter dangling=true -q
        """,
    )
    images.add_argument("reference", nargs="?", metavar="PATTERN", help="names with * and ?")
    images.add_argument(
        "-a", "--all", action="store_true", help="also nameless images that others are made from"
    )
    images.add_argument("--digests", action="store_true", help="show the digests of names")
    grammar.add_ids(images)
    grammar.add_filter(images, IMAGE_FILTERS)
    grammar.add_forms(images, listings.IMAGES.titles)


def _add_history(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import history

    parser = add_verb(
        commands,
        "history",
        history.history,
        about,
        details="The newest step comes first, with what it was made by and its layer's size.",
        examples="""
        layerstore history app:1
        layerstore history --no-trunc --format '{{.Size}}\\t{{.CreatedBy}}' app:1
        """,
    )
    parser.add_argument("image", metavar="IMAGE")
    grammar.add_ids(parser)
    parser.add_argument(
        "-H",
        "--human",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="print sizes for people",
    )
    grammar.add_forms(parser, history.HISTORY.titles)


def _add_tag(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import changing

    tag = add_verb(
        commands,
        "tag",
        changing.tag,
        about,
        details="An image that had the name loses it.",
        examples="layerstore tag app:1 app:stable",
    )
    tag.add_argument("image", metavar="IMAGE")
    tag.add_argument("name", metavar="NAME")


def _add_rmi(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import changing

    rmi = add_verb(
        commands,
        "rmi",
        changing.remove_images,
        about,
        details="""
        Takes a name away; the last one takes the image, and the layers that nothing else keeps. By
        ID an image goes with all its names.
        """,
        examples="""
        layerstore create base --image app:1 && layerstore commit base old && layerstore rm base
        layerstore rmi old
        """,
    )
    rmi.add_argument("images", nargs="+", metavar="IMAGE")
    rmi.add_argument(
        "-f", "--force", action="store_true", help="even if it is in use, or isn't there"
    )
    rmi.add_argument(
        "--no-prune", action="store_true", help="keep the nameless images it was made from"
    )
    grammar.add_wait(rmi)


def _add_prune(commands: Commands, about: str) -> None:
    from layerstore.command.verbs import pruning

    prune = add_verb(
        commands,
        "prune",
        pruning.prune,
        about,
        details="""
        Images without a name that no read-write layer is made from, and layers that no image,
        read-write layer or build keeps, as a supervisor that was killed may leave them. Asks first;
        exits with 1 where the answer isn't y. Prints what goes and the space that it took.
        """,
        examples="""
        layerstore prune -f
        layerstore umount web && layerstore prune --all --rw --force
        layerstore prune --all --until 24h --keep-storage 20GB --force
        """,
    )
    prune.add_argument("-a", "--all", action="store_true", help="also unused images with names")
    prune.add_argument("--rw", action="store_true", help="also read-write layers not mounted")
    prune.add_argument(
        "--until",
        type=grammar.duration,
        metavar="DURATION",
        help="only images that weren't used for so long, as 24h, 90m or 1h30m",
    )
    prune.add_argument(
        "--keep-storage",
        type=grammar.size,
        metavar="SIZE",
        help="only as many images, those first that weren't used for longest, as bring all layers "
        "down to that, as 20GB",
    )
    prune.add_argument("-f", "--force", action="store_true", help="don't ask")
    grammar.add_wait(prune)
    grammar.add_nothing(prune, "--volumes", why="there are no volumes to be removed")


IMAGE_VERBS: Verbs = {
    "load": ("Load images from an archive, a layout, or another engine", _add_load),
    "save": ("Write images to a tar, for docker and OCI tools, or to another engine", _add_save),
    "import": ("Make an image of one layer from a root file system's tar", _add_import),
    "export": ("Write a whole root file system as a plain tar", _add_export),
    "flatten": ("Make an image of one layer from an image of many", _add_flatten),
    "images": ("List images", _add_images),
    "history": ("List the steps that made an image", _add_history),
    "tag": ("Give an image one more name", _add_tag),
    "rmi": ("Remove images", _add_rmi),
    "prune": ("Remove what nobody needs", _add_prune),
}
"""Those about images."""
