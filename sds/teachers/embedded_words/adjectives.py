"""Colours, materials and proportions: the words for them, and what each is taken for.

A word lists its readings in order of preference; a teacher takes the first that it knows. ``"golden"`` is a material
for a teacher that renders gold and yellow for one that does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Aspect(Enum):
    """What an adjective tells of."""

    COLOUR = "colour"
    MATERIAL = "material"
    PROPORTION = "proportion"


@dataclass(frozen=True)
class Reading:
    """One thing that an adjective may mean: ``Reading(Aspect.COLOUR, "red")``."""

    aspect: Aspect
    canonical: str


COLOURS: Mapping[str, str] = {
    "red": "crimson scarlet ruby vermilion cherry maroon burgundy carmine claret cardinal reddish brick-red blood-red",
    "orange": "tangerine apricot amber saffron orangey coral pumpkin terracotta peach",
    "yellow": "lemon mustard canary golden-yellow yellowish blond blonde sunny straw",
    "green": "lime olive emerald khaki jade mint forest-green greenish moss sage chartreuse verdant pistachio",
    "turquoise": "cyan teal aqua aquamarine turquois petrol",
    "blue": "navy azure cobalt indigo sapphire ultramarine sky-blue bluish cerulean royal-blue denim",
    "purple": "violet lilac lavender mauve plum magenta amethyst purplish aubergine",
    "pink": "rose rosy salmon fuchsia pinkish blush",
    "brown": "chestnut tan chocolate sepia umber auburn bronzed brownish coffee-coloured caramel cinnamon hazel beige",
    "black": "ebony jet-black jet sable pitch-black blackish raven inky",
    "gray": "grey ash ashen slate charcoal greyish grayish taupe",
    "white": "ivory cream creamy snowy snow-white pearl whitish milky eggshell offwhite pale",
}

MATERIALS: Mapping[str, str] = {
    "wooden": "wood oak oaken mahogany pine walnut teak timber bamboo-wood beech birch maple cedar plywood cherrywood "
    "rosewood ebony-wood woody ash-wood pinewood hardwood softwood timbered driftwood",
    "metal": "metallic steel iron aluminum aluminium chrome chromed tin zinc titanium ironclad stainless cast-iron "
    "wrought-iron lead pewter steely galvanized",
    "golden": "gold gilded gilt brass brazen",
    "silver": "silvery silvered sterling platinum",
    "copper": "bronze coppery",
    "stone": "granite rocky limestone sandstone stony slate-stone basalt concrete cement flint cobbled",
    "marble": "alabaster marbled",
    "brick": "bricks brickwork",
    "plastic": "plasticky acrylic vinyl polyester nylon pvc rubber rubbery polythene bakelite",
    "glass": "glassy crystal crystalline transparent",
    "ceramic": "porcelain glazed earthenware stoneware clay china terracotta-ware enamel enameled enamelled",
    "leather": "leathery suede leatherette cowhide",
    "fabric": "cloth cotton linen woollen woolen wool velvet silk silken felt upholstered canvas denim-cloth knitted "
    "textile plush fluffy furry corduroy satin",
    "striped": "stripy stripey stripes stripe pinstriped banded",
    "dotted": "spotted polka-dot polka-dotted dots spots speckled spotty polka",
    "checkered": "chequered checked plaid tartan gingham checkerboard checks",
}

PROPORTIONS: Mapping[str, str] = {
    "tall": "high lofty towering elongated-upwards statuesque",
    "short": "low squat stubby low-slung",
    "wide": "broad spacious outspread",
    "narrow": "slim slender skinny thin lean slimline",
    "long": "lengthy elongated stretched oblong extended",
    "small": "little tiny mini miniature petite wee minuscule diminutive pocket-sized compact teeny minute dwarf",
    "big": "large huge giant gigantic enormous massive great oversized colossal immense mighty grand hulking jumbo",
    "thick": "fat chubby stout plump bulky chunky stocky",
}

_SEVERAL: Mapping[str, tuple[tuple[Aspect, str], ...]] = {
    "lanky": ((Aspect.PROPORTION, "tall"), (Aspect.PROPORTION, "narrow")),
    "gangly": ((Aspect.PROPORTION, "tall"), (Aspect.PROPORTION, "narrow")),
}
"""Words that say two things at once."""

_OTHERWISE: Mapping[str, tuple[Aspect, str]] = {
    "golden": (Aspect.COLOUR, "yellow"),
    "silver": (Aspect.COLOUR, "gray"),
    "copper": (Aspect.COLOUR, "orange"),
    "marble": (Aspect.MATERIAL, "stone"),
    "brick": (Aspect.MATERIAL, "stone"),
    "thick": (Aspect.PROPORTION, "wide"),
    "narrow": (Aspect.PROPORTION, "tall"),
    "dotted": (Aspect.MATERIAL, "spotted"),
    "ceramic": (Aspect.MATERIAL, "glazed"),
}
"""What a teacher that does not know the canonical word may take instead."""


class AdjectiveBook:
    """The adjectives of one teacher.

    Args:
        colours: the canonical colours that it knows.
        materials: the canonical materials that it knows.
        proportions: the canonical proportions that it knows.
    """

    def __init__(self, colours: tuple[str, ...], materials: tuple[str, ...], proportions: tuple[str, ...]) -> None:
        self._known = {Aspect.COLOUR: colours, Aspect.MATERIAL: materials, Aspect.PROPORTION: proportions}
        self._readings: dict[str, tuple[Reading, ...]] = {}
        for aspect, table in (
            (Aspect.PROPORTION, PROPORTIONS),
            (Aspect.COLOUR, COLOURS),
            (Aspect.MATERIAL, MATERIALS),
        ):
            for canonical, near in table.items():
                if reading := self._first_known(aspect, canonical):
                    for word in (canonical, *near.split()):
                        self._readings.setdefault(word.replace("-", " "), (reading,))
            for canonical in self._known[aspect]:
                self._readings[canonical] = (Reading(aspect, canonical),)
        for word, meanings in _SEVERAL.items():
            readings = (self._first_known(aspect, canonical) for aspect, canonical in meanings)
            if known := tuple(reading for reading in readings if reading is not None):
                self._readings[word] = known

    def readings(self, word: str) -> tuple[Reading, ...]:
        """What a lower-case word (or two, with a space) says; empty if it is no adjective that is known."""
        return self._readings.get(word, ())

    def words(self) -> list[str]:
        """Every word that has a reading."""
        return list(self._readings)

    def _first_known(self, aspect: Aspect, canonical: str) -> Reading | None:
        if canonical in self._known[aspect]:
            return Reading(aspect, canonical)
        other = _OTHERWISE.get(canonical)
        if other is not None and other[1] in self._known[other[0]]:
            return Reading(*other)
        return None
