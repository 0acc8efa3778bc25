"""Prompts as people type them, and what an embedded teacher makes of them."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sds.teachers.embedded_words import Lexicon, Thing, Understanding
from sds.teachers.embedded_words.lexicon import Known
from sds.teachers.embedded_words.near_words import NearWords
from sds.teachers.embedded_words.nouns import KnownNoun
from sds.teachers.embedded_words.spelling import Speller, edits

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon.load()


def only_thing(lexicon: Lexicon, prompt: str) -> Thing:
    understood = lexicon.understand(prompt)
    assert len(understood.things) == 1, understood
    return understood.things[0]


@pytest.mark.parametrize(
    ("prompt", "thing"),
    [
        ("a horse", Thing("horse")),
        ("a tiny wooden horse", Thing("horse", material="wooden", proportions=("small",))),
        ("two chairs", Thing("chair", count=2)),
        ("chairs", Thing("chair", count=2)),
        ("three bicycles", Thing("bicycle", count=3)),
        ("a pair of scissors", Thing("scissors")),
        ("a pair of shoes", Thing("shoes")),
        ("a crimson automobile", Thing("car", colour="red")),
        ("a mahogany desk", Thing("desk", "wooden desk", material="wooden")),
        ("a lanky vase", Thing("vase", proportions=("tall", "narrow"))),
        ("a red leather armchair", Thing("armchair", "leather armchair", colour="red", material="leather")),
        ("A Red Boat", Thing("boat", colour="red")),
        ("a horse made of marble", Thing("horse", material="marble")),
        ("a sofa in red", Thing("sofa", colour="red")),
        ("a bowl, yellow and tiny", Thing("bowl", colour="yellow", proportions=("small",))),
        ("a tall, red vase", Thing("vase", colour="red", proportions=("tall",))),
        ("a grey sofa", Thing("sofa", colour="gray")),
        ("a glass vase", Thing("vase", material="glass")),
        ("a glass", Thing("glass")),
        ("a stone horse", Thing("horse", material="stone")),
        ("a stone", Thing("rock")),
        ("a golden horse", Thing("horse", material="golden")),
        ("a vase of tulips", Thing("tulips")),
        ("a table with tablecloth", Thing("table with tablecloth")),
        ("the kitten's photo", Thing("cat")),
    ],
)
def test_a_thing_and_what_is_said_of_it(lexicon: Lexicon, prompt: str, thing: Thing) -> None:
    assert only_thing(lexicon, prompt) == thing


@pytest.mark.parametrize(
    ("prompt", "nouns", "relation"),
    [
        ("a cat on a chair", ("cat", "chair"), "on"),
        ("a cat sitting on top of a chair", ("cat", "chair"), "on"),
        ("a floor lamp beside a bed", ("floor lamp", "bed"), "beside"),
        ("a lamp next to a bed", ("table lamp", "bed"), "beside"),
        ("a chair and a table", ("chair", "table"), "and"),
        ("a rabbit under the table", ("rabbit", "table"), "under"),
        ("a dog in front of a dog house", ("dog", "dog house"), "in front of"),
        ("a boat behind a car", ("boat", "car"), "behind"),
        ("a dog, a cat", ("dog", "cat"), "and"),
    ],
)
def test_two_things_and_how_they_stand(lexicon: Lexicon, prompt: str, nouns: tuple[str, str], relation: str) -> None:
    understood = lexicon.understand(prompt)
    assert tuple(thing.noun for thing in understood.things) == nouns
    assert understood.relation == relation


def test_each_thing_has_its_own_adjectives(lexicon: Lexicon) -> None:
    understood = lexicon.understand("a stone horse and two red bowls")
    assert understood.things == (Thing("horse", material="stone"), Thing("bowl", colour="red", count=2))


def test_a_third_thing_is_told_and_left_out(lexicon: Lexicon) -> None:
    understood = lexicon.understand("a cat behind a sofa and a lamp")
    assert [thing.noun for thing in understood.things] == ["cat", "sofa"]
    assert understood.relation == "behind"
    assert understood.ignored == ("lamp",)
    assert "2 things at most" in understood.notes[0]


@pytest.mark.parametrize(
    "name",
    ["table lamp", "rocking horse", "teddy bear", "floor lamp", "dog house", "beer mug", "toy car", "fruit bowl"],
)
def test_compound_nouns_win_over_their_parts(lexicon: Lexicon, name: str) -> None:
    assert only_thing(lexicon, f"a blue {name}") == Thing(name, colour="blue")


@pytest.mark.parametrize(
    ("typed", "noun"),
    [
        ("armchiar", "armchair"),
        ("wardobe", "wardrobe"),
        ("refridgerator", "refrigerator"),
        ("bycicle", "bicycle"),
        ("settee", "sofa"),
        ("puppy", "dog"),
        ("feline", "cat"),
        ("automobile", "car"),
        ("ewer", "jug"),
        ("golden retriever", "dog"),
    ],
)
def test_synonyms_near_words_and_typing_errors(lexicon: Lexicon, typed: str, noun: str) -> None:
    understood = lexicon.understand(f"a {typed}")
    assert [thing.noun for thing in understood.things] == [noun]
    assert (typed, noun) in understood.read_as


@pytest.mark.parametrize("word", ["house", "boar", "tiger", "chain", "mouse", "care", "hall"])
def test_a_real_word_is_no_typing_error(lexicon: Lexicon, word: str) -> None:
    assert lexicon.understand(f"a {word}").things == ()


@pytest.mark.parametrize("prompt", ["castle in the style of Van Gogh", "a castle by Van Gogh", "van gogh", "Van Gogh"])
def test_a_name_is_no_van(lexicon: Lexicon, prompt: str) -> None:
    assert lexicon.understand(prompt).things == ()
    assert only_thing(lexicon, "a van").noun == "van"


def test_a_name_is_said(lexicon: Lexicon) -> None:
    understood = lexicon.understand("a sofa in the style of Van Gogh")
    assert understood.things == (Thing("sofa"),)
    assert understood.ignored == ("Van Gogh",)
    assert understood.notes == ("'Van Gogh' was taken for a name",)


@pytest.mark.parametrize(
    ("word", "script"), [("дом", "Cyrillic"), ("椅子", "Han"), ("كرسي", "Arabic"), ("καρέκλα", "Greek")]
)
def test_another_script_is_said(lexicon: Lexicon, word: str, script: str) -> None:
    understood = lexicon.understand(f"{word} on a chair")
    assert understood.things == (Thing("chair"),)
    assert understood.ignored == (word,)
    assert script in understood.notes[0]


@pytest.mark.parametrize(
    ("prompt", "ignored"),
    [
        ("a dragon on a chair", ("dragon",)),
        ("a chair with red legs", ("red", "legs")),
        ("a chair without arms", ("arms",)),
        ("a chair on a red cloud", ("red", "cloud")),
        ("a shiny chair", ("shiny",)),
        ("a chair, please", ()),
        ("a photo of a chair", ()),
    ],
)
def test_what_is_not_known_changes_nothing(lexicon: Lexicon, prompt: str, ignored: tuple[str, ...]) -> None:
    understood = lexicon.understand(prompt)
    assert understood.things == (Thing("chair"),)
    assert understood.relation is None
    assert understood.ignored == ignored


@pytest.mark.parametrize("prompt", ["a bus stop", "horse race", "a sea horse", ""])
def test_a_compound_of_another_meaning_is_not_its_part(lexicon: Lexicon, prompt: str) -> None:
    assert lexicon.understand(prompt).things == ()


def test_at_most_four(lexicon: Lexicon) -> None:
    understood = lexicon.understand("a dozen dogs")
    assert understood.things == (Thing("dog", count=4),)
    assert "12" in understood.notes[0]


def test_sentences(lexicon: Lexicon) -> None:
    assert lexicon.understand("a wooden horse, zorbly").sentence() == (
        "understood: horse, wooden; not known and left out: zorbly"
    )
    assert lexicon.understand("freedom").sentence() == "nothing understood; not known and left out: freedom"
    assert lexicon.understand("two settees behind a red boat").sentence() == (
        "understood: 2 x sofa, behind boat, red; read 'settees' as sofa"
    )


@pytest.mark.parametrize(
    ("word", "noun"), [("tiger", "cat"), ("sword", "knife"), ("elephant", "dog"), ("canoeist", "")]
)
def test_suggestions_go_by_meaning(lexicon: Lexicon, word: str, noun: str) -> None:
    suggested = lexicon.suggest(word, 6)
    assert len(suggested) <= 6
    assert noun in suggested or not noun


def test_an_idea_suggests_nothing_and_a_misspelt_word_what_is_spelt_alike(lexicon: Lexicon) -> None:
    assert lexicon.suggest("freedom") == []
    assert lexicon.suggest("wardrobbbe")[0] == "wardrobe"


def read(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_words_that_no_list_has(lexicon: Lexicon) -> None:
    rows = read("words_held_out.csv")
    assert len(rows) == 300
    right = wrong = 0
    for row in rows:
        things = lexicon.understand(f"a {row['word']}").things
        hit = [thing.noun for thing in things if thing.noun in row["nouns"].split(";")]
        right += bool(hit) and len(things) == 1
        wrong += bool(things) and not hit
    assert right >= 0.7 * 300
    assert wrong <= 0.06 * 300


def test_words_for_other_things_stay_unknown(lexicon: Lexicon) -> None:
    for chosen, share in (("random", 0.02), ("by hand", 0.02)):
        words = [row["word"] for row in read("words_unknown.csv") if row["chosen"] == chosen]
        forced = [word for word in words if lexicon.understand(f"a {word}").things]
        assert len(forced) <= share * len(words), forced


def test_an_unknown_word_more_leaves_everything_as_it_was(lexicon: Lexicon) -> None:
    prompts = [
        ("a {} horse", "a horse"),
        ("a {} wooden chair", "a wooden chair"),
        ("a red {} table lamp", "a red table lamp"),
        ("a cat on a {} sofa", "a cat on a sofa"),
        ("two {} bowls beside a bed", "two bowls beside a bed"),
    ]
    unknown = [row["word"] for row in read("words_unknown.csv") if row["chosen"] == "random"][::20][:20]
    same = 0
    for pattern, plain in prompts:
        before = lexicon.understand(plain)
        for word in unknown:
            after = lexicon.understand(pattern.format(word))
            same += (after.things, after.relation) == (before.things, before.relation)
    assert len(unknown) == 20
    assert same >= 98


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    understood = SMALL.understand(text)
    assert len(understood.things) <= 2
    assert (understood.relation is None) == (len(understood.things) < 2)
    assert all(1 <= thing.count <= 4 for thing in understood.things)
    assert understood.sentence()


SMALL = Lexicon(
    Known(
        (KnownNoun("sofa", ("couch",), ("leather sofa",)), KnownNoun("car"), KnownNoun("toy car")),
        ("red", "yellow"),
        ("leather",),
        ("tall",),
    ),
    NearWords({"settee": "sofa", "castle": None, "hatchback": "car"}, {"castle": ("car",)}),
)


def test_a_small_teacher_reads_what_it_knows() -> None:
    assert SMALL.understand("a golden leather sofa") == Understanding(
        (Thing("sofa", "leather sofa", "yellow", "leather"),), read_as=(("golden", "yellow"),)
    )
    assert SMALL.understand("a tall oak toy car").ignored == ("oak",)


def test_words_survive_a_folder(tmp_path: Path) -> None:
    SMALL.save(tmp_path / "words")
    again = Lexicon.load(tmp_path / "words")
    assert again.known == SMALL.known
    assert again.understand("a hatchback and a settee") == SMALL.understand("a hatchback and a settee")
    assert again.suggest("castle") == ["car"]


def test_a_teacher_of_other_things_goes_by_names_and_what_is_known_of_them() -> None:
    lexicon = Lexicon.of_nouns(["sofa", "spaceship", "toy spaceship"], ["leather sofa", "red toy spaceship", "huh"])
    assert lexicon.nouns == ("sofa", "spaceship", "toy spaceship")
    assert lexicon.understand("a loveseat on a spaceship").things == (Thing("sofa"), Thing("spaceship"))
    assert lexicon.understand("a leather couch").things == (Thing("sofa", "leather sofa", material="leather"),)
    assert lexicon.understand("a red toy spaceship").things == (
        Thing("toy spaceship", "red toy spaceship", colour="red"),
    )
    assert lexicon.understand("a horse").things == ()


def test_only_some_nouns() -> None:
    fewer = SMALL.only(["car"])
    assert fewer.nouns == ("car",)
    assert fewer.understand("a settee and a toy car").things == (Thing("car"),)


def test_a_broken_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Lexicon.load(tmp_path)
    SMALL.save(tmp_path)
    packed = (tmp_path / "near_words.xz").read_bytes()
    for broken in (b"", b"nothing packed", packed[:-9]):
        (tmp_path / "near_words.xz").write_bytes(broken)
        with pytest.raises(ValueError, match=r"near_words\.xz"):
            Lexicon.load(tmp_path)
    (tmp_path / "lexicon.json").write_text('{"nouns": [{"name": 1}]}')
    with pytest.raises(ValueError, match=r"lexicon\.json"):
        Lexicon.load(tmp_path)


def test_two_nouns_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="couch"):
        Lexicon(Known((KnownNoun("sofa", ("couch",)), KnownNoun("couch")), (), (), ()))


@pytest.mark.parametrize(
    ("a", "b", "errors"),
    [("chair", "chair", 0), ("chiar", "chair", 1), ("char", "chair", 1), ("chairs", "chair", 1), ("stool", "chair", 3)],
)
def test_edits(a: str, b: str, errors: int) -> None:
    assert edits(a, b, 2) == errors


def test_the_speller_does_not_guess_between_two() -> None:
    speller = Speller(["boot", "boat"])
    assert speller.correct("boxt") is None
    assert speller.correct("boatt") == "boat"
    assert speller.correct("bo") is None
