"""FS-13: destinations where a received name could be obeyed by some program."""

from pathlib import PurePosixPath

import pytest

from securecp.disk import objection

HOME = PurePosixPath("/home/ann")


@pytest.mark.parametrize(
    "place",
    [
        *(
            "/",
            "/home",
            "/home/ann",
            "/home/ann/.ssh",
            "/home/ann/.config/autostart",
            "/home/ann/bin",
        ),
        *(
            "/home/ann/x/.git",
            "/etc",
            "/etc/cron.d",
            "/usr/local/bin",
            "/boot",
            "/var",
            "/var/spool/cron",
        ),
        *("/dev/shm", "/proc/1", "/home/ann/Library/LaunchAgents", "/lib64/x", "/System/x"),
    ],
)
def test_fs13_home_and_system_folders_are_refused(place: str) -> None:
    assert objection(PurePosixPath(place), HOME)


@pytest.mark.parametrize(
    "place",
    [
        *(
            "/home/ann/Downloads",
            "/home/ann/securecp",
            "/tmp/x",
            "/srv-data",
            "/mnt/disk",
            "/media/ann/usb",
        ),
        *(
            "/data/in",
            "/var/tmp/x",
            "/var/folders/ab/T/x",
            "/home/ben/in",
            "/etcetera",
            "/dev/shm/x",
        ),
    ],
)
def test_fs13_ordinary_folders_are_fine(place: str) -> None:
    assert not objection(PurePosixPath(place), HOME)


def test_fs13_the_superusers_home_is_a_home() -> None:
    assert objection(PurePosixPath("/root"), PurePosixPath("/root"))
    assert not objection(PurePosixPath("/root/in"), PurePosixPath("/root"))
