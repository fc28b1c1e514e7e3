"""Every option of docker's that belongs to a verb which layerstore has, too: taken, or answered.

Owns the lists, by docker's names of the verbs; docker 20.10's and 28's options are in them.
"""

from __future__ import annotations

from typing import NamedTuple


class Habit(NamedTuple):
    """What is typed of one of docker's verbs."""

    words: list[str]
    """Arguments that go with any option."""
    taken: list[str]
    answered: list[str]


_PROCESS = (
    "--add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop "
    "--cgroup-parent --cgroupns --cidfile -c --cpu-shares --cpu-count --cpu-percent --cpu-period "
    "--cpu-quota --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --device "
    "--device-cgroup-rule --dns-opt --dns-option --dns-search --domainname --expose --gpus "
    "--group-add --health-cmd --health-interval --health-retries --health-start-interval "
    "--health-start-period --health-timeout --io-maxbandwidth --io-maxiops --ip --ip6 --ipc "
    "--isolation --kernel-memory -l --label --label-file --link --link-local-ip --log-driver "
    "--log-opt --mac-address --memory-reservation --memory-swappiness "
    "--net-alias --network-alias --oom-kill-disable --oom-score-adj --pid "
    "--privileged -P --publish-all --restart --runtime --security-opt --shm-size "
    "--stop-signal --stop-timeout --sysctl --tmpfs --ulimit --use-api-socket --uts "
    "--volume-driver --volumes-from"
)
_BOUNDS = (
    "--cpus --device-read-bps --device-read-iops --device-write-bps --device-write-iops -m "
    "--memory --memory-swap --pids-limit"
)
_OF_RUN = (
    "--dns --entrypoint -e --env --env-file --hostname --init -i --interactive --mount --net "
    "--network --no-healthcheck -p --publish --read-only --rm -t --tty -u --user -v --volume "
    "-w --workdir"
)


def _habit(words: str, taken: str, answered: str = "") -> Habit:
    return Habit(words.split(), [*taken.split(), "--help"], answered.split())


HABITS = {
    "commit": _habit("web app:2", "-a --author -c --change -m --message -p --pause"),
    "completion bash": _habit("", "", "--no-descriptions"),
    "container prune": _habit("", "", "--filter -f --force"),
    "cp": _habit("web:/a b", "-a --archive -L --follow-link -q --quiet"),
    "create": _habit(
        "app:1",
        "-h --name --platform --pull -q --quiet --disable-content-trust --storage-opt --userns",
        f"{_PROCESS} {_BOUNDS} {_OF_RUN} --disable-content-trust=false",
    ),
    "diff": _habit("web", ""),
    "exec": _habit(
        "web true",
        "-e --env --env-file -i --interactive -t --tty -u --user -w --workdir",
        "-d --detach --detach-keys --privileged",
    ),
    "export": _habit("web", "-o --output"),
    "history": _habit(
        "app:1", "--format -H --human --human=false -H=false --no-trunc -q --quiet", "--platform"
    ),
    "image prune": _habit("", "-a --all -f --force", "--filter"),
    "images": _habit(
        "", "-a --all --digests -f --filter --format --no-trunc -q --quiet", "--tree"
    ),
    "import": _habit("rootfs.tar", "-c --change -m --message --platform"),
    "info": _habit("", "-f --format"),
    "inspect": _habit("app:1", "-f --format -s --size --type"),
    "load": _habit("", "-i --input --platform -q --quiet"),
    "login": _habit("", "-p --password --password-stdin -u --username"),
    "logout": _habit("", ""),
    "pause": _habit("web", ""),
    "ps": _habit(
        "", "-a --all -f --filter --format -n --last -l --latest --no-trunc -q --quiet -s --size"
    ),
    "pull": _habit("app:1", "-a --all-tags --disable-content-trust --platform -q --quiet"),
    "push": _habit("app:1", "-a --all-tags --disable-content-trust -q --quiet", "--platform"),
    "rm": _habit("web", "-f --force -v --volumes -f=true --force=false", "-l --link"),
    "rmi": _habit("app:1", "-f --force --no-prune", "--platform"),
    "run": _habit(
        "app:1", f"-h {_OF_RUN} {_BOUNDS} --disable-content-trust --name --platform --pull -q "
        "--quiet --sig-proxy --storage-opt --userns",
        f"{_PROCESS} -d --detach --detach-keys --disable-content-trust=false --rm=false "
        "--sig-proxy=false",
    ),
    "save": _habit("app:1", "-o --output", "--platform"),
    "stats": _habit("web", "-a --all --format --no-stream --no-trunc"),
    "system df": _habit("", "--format -v --verbose"),
    "system prune": _habit("", "", "-a --all --filter -f --force --volumes"),
    "tag": _habit("app:1 app:2", ""),
    "top": _habit("web", ""),
    "unpause": _habit("web", ""),
}  # fmt: skip

BEFORE = _habit(
    "images",
    "-v --version",
    "--config -c --context -D --debug -H --host -l --log-level --tls --tlscacert --tlscert "
    "--tlskey --tlsverify",
)
"""What comes before the verb."""

VALUES = {
    "--change": "CMD a", "--dns": "192.0.2.1", "--env": "A=1", "--publish": "80:80",
    "--filter": "dangling=true", "--format": "{{.ID}}",
    "--input": "image.tar", "--last": "2", "--mount": "type=bind,source=/a,target=/b",
    "--net": "none", "--network": "host", "--platform": "linux/amd64", "--pull": "missing",
    "--storage-opt": "size=1G", "--userns": "host", "--type": "container", "--volume": "/a:/b",
    "--cpus": "1.5", "--memory": "64m", "--memory-swap": "-1", "--pids-limit": "9",
    **{f"--device-{way}-{unit}": "/dev/sda:1mb" for way in ("read", "write")
       for unit in ("bps", "iops")},
    **dict.fromkeys(
        ("--author", "--entrypoint", "--env-file", "--hostname", "--message", "--name", "--output",
         "--password", "--user", "--username", "--workdir"), "value",
    ),
}  # fmt: skip
"""Values of those that are taken with one; short ones have those of the long ones after them."""
