"""What a commit says of its topic, and what is said when a topic is no longer what it was."""

import pytest

from schemas.topic_identity import (
    Identity,
    TopicChanged,
    TopicsUnfit,
    is_of_other,
    marked,
    refuse_uneven,
    unfit,
    unmarked,
)

WAS = Identity("AAA", 4)


@pytest.mark.parametrize("text", ["", "undertow-1:eJw=", "2026-11-27 23:50:19.991760"])
def test_a_commit_carries_its_topic_and_whatever_else_it_has_to(text):
    metadata = marked("AAA", text)
    assert unmarked(metadata) == ("AAA", text)
    assert is_of_other(metadata, "BBB")
    assert not is_of_other(metadata, "AAA")


@pytest.mark.parametrize("metadata", [None, "", "undertow-1:eJw="])
def test_a_commit_from_before_there_were_marks_is_believed(metadata):
    assert unmarked(metadata) == ("", metadata or "")
    assert not is_of_other(metadata, "AAA")


def test_what_changed_is_named_with_what_it_was_and_is():
    anew = TopicChanged("bars", WAS, Identity("BBB", 4))
    more = TopicChanged("trades", WAS, Identity("AAA", 6))
    assert anew.is_other
    assert "topic bars was deleted and made anew (id AAA, now BBB)" in str(anew)
    assert not more.is_other
    assert "topic trades had 4 partitions and has 6 now" in str(unfit("rollup", more))
    assert "rollup keeps state" in str(unfit("rollup", more))


def test_topics_of_one_market_are_split_alike_or_refused_with_their_counts():
    even = {"trades": WAS, "bars": WAS, "market_evidence": Identity("CCC", 1)}
    refuse_uneven(even)
    with pytest.raises(TopicsUnfit, match="bars has 4, trades has 6"):
        refuse_uneven(even | {"trades": Identity("AAA", 6)})
