"""Docker's verbs and options that layerstore hasn't got, with what is to be typed or why not.

Owns the answers, all of them. Source: `docker COMMAND --help` of docker 20.10 and 28, with which
`tests/command/test_habits.py` compares this.
"""

from __future__ import annotations

OTHER_NAMES = {
    "ps": ("ls",),
    "unpause": ("resume",),
    "image history": ("history",),
    "image import": ("import",),
    "image inspect": ("inspect", "--type", "image"),
    "image list": ("images",),
    "image load": ("load",),
    "image ls": ("images",),
    "image prune": ("prune",),
    "image pull": ("pull",),
    "image push": ("push",),
    "image remove": ("rmi",),
    "image rm": ("rmi",),
    "image save": ("save",),
    "image tag": ("tag",),
    "container commit": ("commit",),
    "container cp": ("cp",),
    "container create": ("create",),
    "container diff": ("diff",),
    "container exec": ("exec",),
    "container export": ("export",),
    "container inspect": ("inspect", "--type", "container"),
    "container list": ("ls",),
    "container ls": ("ls",),
    "container pause": ("pause",),
    "container ps": ("ls",),
    "container remove": ("rm",),
    "container rm": ("rm",),
    "container run": ("run",),
    "container stats": ("stats",),
    "container unpause": ("resume",),
    "system df": ("du",),
    "system info": ("info",),
}
"""Docker's names for what is here, and the words that mean the same."""

GROUPS = ("container", "image", "system")
"""Docker's first words of two."""

_NO_DAEMON = "nothing runs in the background: layerstore run runs a command and waits for it"
_NO_BUILDER = "layerstore run --commit NEW IMAGE COMMAND makes an image of what a command does"
_NO_SWARM = "layerstore has images and read-write layers, and no machines to share them with"

VERBS = {
    "attach": _NO_DAEMON,
    "build": _NO_BUILDER,
    "builder": _NO_BUILDER,
    "buildx": _NO_BUILDER,
    "checkpoint": _NO_DAEMON,
    "compose": "layerstore run runs one command; what starts several is beyond it",
    "config": _NO_SWARM,
    "container top": f"{_NO_DAEMON}, whose processes ps shows",
    "container prune": "layerstore prune --rw removes read-write layers that are not mounted, too",
    "context": "there is no daemon to choose: --root DIR, or LAYERSTORE_ROOT, chooses a store",
    "events": "layerstore --trace FILE COMMAND writes what is done, layerstore trace FILE shows it",
    "kill": f"{_NO_DAEMON}, which a signal to it reaches",
    "logs": "a command's output goes where that of layerstore run goes",
    "manifest": "layerstore index NAME IMAGE... does what docker manifest create and push do",
    "network": "there are no networks to manage: layerstore run --network none, private or host",
    "node": _NO_SWARM,
    "plugin": "graph drivers are plugins, and pip installs them: --driver NAME chooses one",
    "port": "layerstore run --network private -p PORT IMAGE tells which port it has got",
    "rename": "a read-write layer keeps its name: commit it, and create another from that",
    "restart": _NO_DAEMON,
    "search": "registries are asked for what is named: layerstore tags REPOSITORY lists its tags",
    "secret": _NO_SWARM,
    "service": _NO_SWARM,
    "stack": _NO_SWARM,
    "start": _NO_DAEMON,
    "stop": f"{_NO_DAEMON}, which a signal to it reaches",
    "swarm": _NO_SWARM,
    "system dial-stdio": "there is no daemon to talk to",
    "system prune": "layerstore prune removes images and layers that nobody needs, with --rw also "
    "read-write layers that are not mounted",
    "trust": "nothing is signed: every blob is checked against the digest that it is asked for by",
    "update": "a run's bounds stay as they were said: layerstore run -m, --cpus, --pids-limit",
    "version": "layerstore --version prints it",
    "volume": "a volume is a directory of this machine: layerstore run -v DIRECTORY:/TARGET",
    "wait": _NO_DAEMON,
}
"""What isn't here, by docker's name of one or two words."""

_ONE_PLATFORM = "an image here is of one platform, which load --platform chooses"
_LIMITS = (
    "what bounds a run is -m, --memory-swap, --cpus, --pids-limit and --device-read-bps and the "
    "like; systemd-run --scope -p CPUWeight=50 layerstore run ... sets others"
)
_BOUNDED = {
    "--cpus --device-read-bps --device-read-iops --device-write-bps --device-write-iops -m "
    "--memory --memory-swap --pids-limit": "create keeps nothing of a command: say it to "
    "layerstore run",
}
_NETWORKS = "a network is none, host or private, which has one address; -p publishes its ports"
_RESOLVING = (
    "search domains and options are this machine's; -v FILE:/etc/hosts, or :/etc/resolv.conf, "
    "shows others"
)
_LABELS = "nothing keeps labels of it: commit -c 'LABEL KEY=VALUE' gives them to an image"
_PRIVILEGES = "a command has docker's default capabilities and system calls, and no way to more"
_NAMESPACES = "a command has namespaces of its own; --userns has its users be others, too"

_OF_PROCESSES = {
    "--add-host --dns-opt --dns-option --dns-search": _RESOLVING,
    "--annotation -l --label --label-file": _LABELS,
    "-a --attach": "output goes where that of layerstore run goes; -i passes standard input on",
    "--blkio-weight --blkio-weight-device --cgroup-parent -c --cpu-shares --cpu-period "
    "--cpu-quota --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --kernel-memory "
    "--memory-reservation --memory-swappiness --oom-kill-disable": _LIMITS,
    "--cgroupns": _NAMESPACES,
    "--device-cgroup-rule": "/dev has null, zero, full, random, urandom and tty only",
    "--cap-add --cap-drop --privileged --security-opt": _PRIVILEGES,
    "--cidfile": "--name names it, and ls --format '{{.ID}} {{.Name}}' tells its ID",
    "--cpu-count --cpu-percent --io-maxbandwidth --io-maxiops --isolation": "it is for Windows",
    "--device --gpus": "/dev has null, zero, full, random, urandom and tty only",
    "--disable-content-trust=false": "every blob was checked against its digest at load, no "
    "signature",
    "--domainname": "--hostname takes a name with dots",
    "--expose --ip --ip6 --link --link-local-ip --mac-address --net-alias --network-alias "
    "-P --publish-all": _NETWORKS,
    "--group-add": "a user has the groups that the image's /etc/group gives: -u USER:GROUP for one",
    "--health-cmd --health-interval --health-retries --health-start-interval "
    "--health-start-period --health-timeout": "no health is checked while a command runs",
    "--ipc --pid --uts": _NAMESPACES,
    "--log-driver --log-opt": "output goes where that of layerstore run goes: redirect it",
    "--oom-score-adj": "it is the caller's: choom -n NUMBER -- layerstore run ...",
    "--restart": "nothing runs in the background: a loop in a shell restarts layerstore run",
    "--runtime --use-api-socket": "there is neither another runtime nor a daemon",
    "--shm-size --tmpfs": "-v DIRECTORY:/TARGET shows a directory of a tmpfs of this machine",
    "--stop-signal --stop-timeout": "a signal to layerstore run is passed on; --time-limit kills",
    "--sysctl": "the kernel's parameters are this machine's, and read-only",
    "--ulimit": "limits are the caller's: prlimit --nofile=1024 layerstore run ...",
    "--volume-driver --volumes-from": "a volume is a file or directory here: -v SOURCE:/TARGET",
}

OPTIONS: dict[str, dict[str, str]] = {
    "": {
        "-c --config --context -H --host --tls --tlscacert --tlscert --tlskey --tlsverify": "there "
        "is no daemon to talk to: --root DIR chooses a store",
        "-D --debug -l --log-level": "--trace FILE writes what is done",
    },
    "completion": {
        "--no-descriptions": "the script asks this command, and prints what it is answered",
    },
    "create": {
        **_OF_PROCESSES,
        **_BOUNDED,
        "--dns --entrypoint -e --env --env-file --hostname --init -i --interactive --mount --net "
        "--network --no-healthcheck -p --publish --read-only --rm -t --tty -u --user -v --volume "
        "-w --workdir": "create makes a root file system and keeps nothing of a command: say it to "
        "layerstore run",
    },
    "exec": {
        "-d --detach --detach-keys": "nothing runs in the background but what a shell puts there: "
        "layerstore exec ... &",
        "--privileged": _PRIVILEGES,
    },
    "history": {"--platform": _ONE_PLATFORM},
    "images": {"--tree": _ONE_PLATFORM},
    "prune": {"--filter": "layerstore images -q --filter ... chooses what layerstore rmi removes"},
    "push": {"--platform": _ONE_PLATFORM},
    "rm": {"-l --link": "there are no links between containers"},
    "rmi": {"--platform": _ONE_PLATFORM},
    "run": {
        **_OF_PROCESSES,
        "-d --detach --detach-keys": "nothing runs in the background but what a shell puts there: "
        "layerstore run ... &",
        "--rm=false": "--keep keeps it",
        "--sig-proxy=false": "signals are always passed on",
    },
    "save": {"--platform": _ONE_PLATFORM},
}
"""Of each verb, and of what comes before it: options, and what is said to them."""
