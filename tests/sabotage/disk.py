"""Edits to how files are made, named, found again and removed at the destination."""

from tests.sabotage.edit import Edit

DESTINATION = "tests/disk/test_destination.py"
CONFLICTS = "tests/disk/test_conflicts.py"
DOORS = "tests/disk/test_doors.py"
STORE = "tests/disk/test_store.py"
ATTRIBUTES = "tests/disk/test_attributes.py"
SPACE = "tests/disk/test_space.py"

EDITS = (
    Edit(
        "links are followed",
        "securecp/disk/at.py",
        ' | getattr(os, "O_NOFOLLOW", 0)',
        "",
        (
            f"{DESTINATION}::test_fs04_folders_swapped_for_links_during_the_transfer",
            f"{DESTINATION}::test_fs02_links_in_a_merged_tree_are_not_followed",
            f"{CONFLICTS}::test_fs04_a_link_is_not_merged_into",
        ),
    ),
    Edit(
        "a part is made over what is there",
        "securecp/disk/at.py",
        "os.O_CREAT | os.O_EXCL",
        "os.O_CREAT",
        (f"{DOORS}::test_fs14_creation_is_exclusive",),
    ),
    Edit(
        "a part can be read by others",
        "securecp/disk/at.py",
        "os.O_EXCL | _SAFE, 0o600",
        "os.O_EXCL | _SAFE, 0o644",
        (f"{DESTINATION}::test_fs14_parts_are_hidden_private_and_unpredictable",),
    ),
    Edit(
        "anything is taken for a regular file",
        "securecp/disk/at.py",
        "if found.st_ino != inode or not stat.S_ISREG(found.st_mode):",
        "if found.st_ino != inode:",
        (f"{DOORS}::test_fs06_only_regular_files_are_opened",),
    ),
    Edit(
        "publishing replaces what has the name",
        "securecp/disk/at.py",
        "os.link(name, new, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)",
        "os.replace(name, new, src_dir_fd=parent, dst_dir_fd=parent)",
        (f"{CONFLICTS}::test_fs09_a_taken_name_is_never_replaced_by_default",),
    ),
    Edit(
        "a folder that took the place of ours is entered",
        "securecp/disk/descent.py",
        "if at.identity(descriptor) != place.identity:",
        "if descriptor < 0:",
        (f"{DESTINATION}::test_fs04_a_component_swapped_before_it_is_entered_again",),
    ),
    Edit(
        "a part that was exchanged is written and published",
        "securecp/disk/at.py",
        "if found.st_ino != inode or not stat",
        "if not stat",
        (
            f"{CONFLICTS}::test_a_part_that_was_exchanged_is_not_published",
            f"{DESTINATION}::test_fs06_a_fifo_under_a_part_name_does_not_hold_us",
        ),
    ),
    Edit(
        "cleaning up removes what took the place of a part",
        "securecp/disk/parts.py",
        "if at.status(directory, name).st_ino == inode:",
        "if inode:",
        (f"{DOORS}::test_fs17_a_file_that_took_the_place_of_a_part_stays",),
    ),
    Edit(
        "cleaning up removes a folder that took the place of ours",
        "securecp/disk/layout.py",
        "if (found.st_dev, found.st_ino) == place.identity:",
        "if found:",
        (f"{DESTINATION}::test_fs17_abandon_leaves_a_folder_that_took_the_place_of_ours",),
    ),
    Edit(
        "a placeholder that was exchanged is replaced",
        "securecp/disk/settle.py",
        "if at.status(parent, name).st_ino != ours:",
        "if ours < 0:",
        (f"{CONFLICTS}::test_fs18_a_placeholder_that_was_exchanged_is_left_alone",),
    ),
    Edit(
        "part names can be foretold",
        "securecp/disk/names.py",
        "self._key = secrets.token_bytes(32)",
        "self._key = secrets.token_bytes(32)[:0]",
        (f"{DESTINATION}::test_fs14_parts_are_hidden_private_and_unpredictable",),
    ),
    Edit(
        "the last look lets a slash pass",
        "securecp/disk/names.py",
        '        and b"/" not in name\n',
        "",
        (f"{DESTINATION}::test_fs01_a_hostile_name_that_slipped_through_touches_nothing",),
    ),
    Edit(
        "the last look lets dots pass",
        "securecp/disk/names.py",
        '        and name not in (b".", b"..")\n',
        "",
        (f"{DESTINATION}::test_fs01_a_hostile_name_that_slipped_through_touches_nothing",),
    ),
    Edit(
        "the last look lets an entry be anything",
        "securecp/disk/offer.py",
        "elif entry.kind != FILE or not",
        "elif not",
        (f"{DESTINATION}::test_fs01_fs03_an_impossible_entry_is_refused",),
    ),
    Edit(
        "the last look lets a tree be of any depth",
        "securecp/disk/offer.py",
        "if depth is None or depth >= _DEPTH_LIMIT:",
        "if depth is None:",
        (f"{DESTINATION}::test_fs11_too_deep_an_offer_is_refused",),
    ),
    Edit(
        "the sweep takes young parts",
        "securecp/disk/sweep.py",
        " or found.st_mtime > before:",
        ":",
        (f"{DESTINATION}::test_fs17_young_parts_stay",),
    ),
    Edit(
        "the sweep takes other users' parts",
        "securecp/disk/sweep.py",
        "if found.st_uid != os.geteuid() or found",
        "if found",
        (f"{DESTINATION}::test_fs17_parts_of_another_user_stay",),
    ),
    Edit(
        "the sweep takes other files",
        "securecp/disk/sweep.py",
        "        if is_part(name):\n",
        "        if name:\n",
        (f"{DESTINATION}::test_fs17_the_sweep_takes_nothing_but_parts",),
    ),
    Edit(
        "the sweep takes parts in use",
        "securecp/disk/sweep.py",
        "        fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "        fcntl.flock(root, fcntl.LOCK_SH | fcntl.LOCK_NB)\n",
        (f"{DESTINATION}::test_fs17_nothing_is_swept_while_another_receiver_is_at_work",),
    ),
    Edit(
        "bytes for a verified file are written",
        "securecp/disk/store.py",
        "            if state == _WAITING:\n",
        "            if state != _FAILED:\n",
        (f"{STORE}::test_mf05_bytes_for_a_verified_file_are_refused",),
    ),
    Edit(
        "what was not verified is published",
        "securecp/disk/store.py",
        "enumerate(self._states) if state == _READY]",
        "enumerate(self._states) if self._parts.exists(entry)]",
        (f"{STORE}::test_mf05_only_what_is_ready_is_published",),
    ),
    Edit(
        "setuid and the like come through",
        "securecp/disk/attributes.py",
        "return (user * 0o111) & ~umask & 0o777 | 0o400",
        "return (user * 0o111) & ~umask & 0o777 | 0o400 | offered & 0o7000",
        (
            f"{ATTRIBUTES}::test_mf17_only_the_users_bits_count_under_the_umask",
            f"{ATTRIBUTES}::test_mf17_no_offered_mode_gives_more_than_a_new_file_would_have",
        ),
    ),
    Edit(
        "the umask is not heeded",
        "securecp/disk/attributes.py",
        "return (user * 0o111) & ~umask & 0o777 | 0o400",
        "return (user * 0o111) & 0o777 | 0o400",
        (f"{ATTRIBUTES}::test_mf17_only_the_users_bits_count_under_the_umask",),
    ),
    Edit(
        "an absurd time reaches the file system",
        "securecp/disk/attributes.py",
        "return max(_EARLIEST * _NANO, min(mtime_ns, _LATEST * _NANO))",
        "return mtime_ns",
        (f"{ATTRIBUTES}::test_mf18_a_time_is_clamped_into_what_can_be_shown",),
    ),
    Edit(
        "an offer larger than the disk is begun",
        "securecp/disk/space.py",
        "if needed + kept > available:",
        "if needed < 0:",
        (f"{SPACE}::test_mf04_an_offer_that_cannot_fit_is_refused_before_anything_is_made",),
    ),
    Edit(
        "the reserve is not kept",
        "securecp/disk/space.py",
        "if needed + kept > available:",
        "if needed > available:",
        (f"{SPACE}::test_mf21_the_reserve_counts",),
    ),
    Edit(
        "the disk is filled to the last byte on the way",
        "securecp/disk/store.py",
        "if found is not None and found[0] < (self._reserve or 0):",
        "if found is not None and found[0] < 0:",
        (f"{SPACE}::test_mf21_others_may_fill_the_disk_while_we_receive",),
    ),
    Edit(
        "files get their names before they are flushed",
        "securecp/disk/store.py",
        "                self._flush(ready)\n",
        "",
        (f"{SPACE}::test_f12_content_is_flushed_before_it_has_a_name",),
    ),
    Edit(
        "home is an ordinary destination",
        "securecp/disk/safety.py",
        "if destination == home:",
        "if destination is None:",
        ("tests/disk/test_safety.py::test_fs13_home_and_system_folders_are_refused",),
    ),
    Edit(
        "hidden folders are ordinary destinations",
        "securecp/disk/safety.py",
        'if any(part.startswith(".") for part in parts):',
        'if any(part == "." for part in parts):',
        ("tests/disk/test_safety.py::test_fs13_home_and_system_folders_are_refused",),
    ),
)
