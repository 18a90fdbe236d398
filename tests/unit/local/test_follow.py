from pathlib import Path

from bankctl.local.follow import Follower, last_lines


def test_the_last_lines_are_found_however_long_they_are(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"{number} {'x' * 5000}\n" for number in range(10)))

    assert [line.split()[0] for line in last_lines(log, 3)] == ["7", "8", "9"]
    assert last_lines(log, 0) == []
    assert last_lines(tmp_path / "none.log", 3) == []


def test_what_is_written_later_is_followed_also_into_a_new_file(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\n")
    follower = Follower([("a", log), ("b", tmp_path / "b.log")])
    lines = iter(follower)
    (tmp_path / "b.log").write_text("first\n")
    assert next(lines) == ("b", "first")

    with log.open("a") as file:
        file.write("new\npart of a li")
    assert next(lines) == ("a", "new")
    with log.open("a") as file:
        file.write("ne\n")
    assert next(lines) == ("a", "part of a line")

    log.replace(tmp_path / "a.log.1")
    log.write_text("rotated\n")
    assert next(lines) == ("a", "rotated")
    follower.close()
