"""How far a feed has come is kept in a file, and a feed outlives a disk that does not take it."""

from pathlib import Path

from schemas.status import FeedStatus
from streams.feed.places import Places

T = 1_763_683_200_000_000


def test_what_the_disk_does_not_take_is_written_when_it_does(tmp_path: Path, caplog) -> None:
    path = tmp_path / "feed" / "feed.json"
    path.parent.write_text("a file where the folder should be")
    places = Places(path)
    places.written("trades", FeedStatus(producer="okx", state="alive", ts_event=T), 1)()
    places.save()
    assert "not noted how far the feed has come" in caplog.text
    path.parent.unlink()
    places.save()
    assert Places(path).of("okx") == {"trades": T}
