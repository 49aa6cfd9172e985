"""What users of the starter tell: kinds of facts, with their sentences and values."""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = ("train", "validation", "test")
_PLACES = {"train": (0, 1, 2), "validation": (3,), "test": (4,)}  # of every five values


@dataclass(frozen=True)
class Kind:
    """A kind of fact: the key it is kept under, how it is told and asked for, and the values of all splits."""

    key: str
    told: tuple[str, ...]
    asked: tuple[str, ...]
    values: tuple[str, ...]

    def of_split(self, split: str) -> list[str]:
        """Three fifths of the values for training, one fifth each for validation and test."""
        return [value for place, value in enumerate(self.values) if place % 5 in _PLACES[split]]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _numbers(start: int, step: int) -> tuple[str, ...]:
    return tuple(str(start + step * place) for place in range(50))


KINDS = (
    Kind(
        "user_name",
        ("my name is {}", "call me {}"),
        ("what is my name?", "who am i?"),
        _words("Ada Boris Carla Dmitri Elena Farid Greta Hugo Ines Jonas Katja Luca Mira Nadia Oskar Paula Rosa Sven"),
    ),
    Kind(
        "home_town",
        ("i live in {}", "my home is in {}"),
        ("where do i live?", "which town is my home?"),
        _words("Aarhus Bergen Cadiz Dover Essen Faro Ghent Halle Izmir Jaca Kiel Lyon Malaga Nantes Oulu Porto Riga"),
    ),
    Kind(
        "user_job",
        ("i work as a {}", "i earn my living as a {}"),
        ("what is my job?", "what do i work as?"),
        _words("baker carpenter dentist florist gardener joiner librarian mechanic nurse painter roofer tailor welder"),
    ),
    Kind(
        "dog_name",
        ("my dog is called {}", "i have a dog named {}"),
        ("what is my dog called?", "what name does my dog have?"),
        _words(
            "Biscuit Comet Domino Ember Fidget Ginger Hazel Inky Juniper Kiwi Lupin Maple Nimbus Olive Pebble Rusty"
        ),
    ),
    Kind(
        "favourite_dish",
        ("my favourite dish is {}", "there is no dish i like better than {}"),
        ("which dish do i like best?", "what is my favourite dish?"),
        _words(
            "lasagne ramen paella goulash falafel pierogi biryani moussaka tacos risotto bibimbap gnocchi laksa sushi"
        ),
    ),
    Kind(
        "birth_month",
        ("i was born in {}", "my birthday is in {}"),
        ("in which month was i born?", "in which month is my birthday?"),
        _words("January February March April May June July August September October November December"),
    ),
    Kind(
        "locker_code",
        ("my locker opens with {}", "the code of my locker is {}"),
        ("what is the code of my locker?", "how does my locker open?"),
        _numbers(1_013, 137),
    ),
    Kind(
        "bus_line",
        ("i take bus {} to work", "the bus i take to work is number {}"),
        ("which bus do i take to work?", "what is the number of my bus?"),
        _numbers(11, 7),
    ),
    Kind(
        "flat_number",
        ("my flat is number {}", "i rent flat {}"),
        ("what is the number of my flat?", "which flat do i rent?"),
        _numbers(208, 11),
    ),
    Kind(
        "savings_goal",
        ("i want to save {} euros this year", "my goal is {} euros of savings"),
        ("how many euros do i want to save?", "what is my savings goal?"),
        _numbers(1_250, 75),
    ),
)
