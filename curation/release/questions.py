"""The questions of a datasheet, in the words of this project, after Gebru et al., Datasheets for Datasets (2021)."""

from typing import NamedTuple


class Question(NamedTuple):
    """One question: its section, its name, by which an answer is given, and its text."""

    section: str
    name: str
    text: str


def _section(title: str, prefix: str, *questions: tuple[str, str]) -> list[Question]:
    return [Question(title, f"{prefix}.{name}", text) for name, text in questions]


QUESTIONS: tuple[Question, ...] = (
    *_section(
        "Motivation",
        "motivation",
        ("purpose", "For what purpose was the data set made? Which gap does it fill?"),
        ("creators", "Who made it, on behalf of whom?"),
        ("funding", "Who paid for it?"),
    ),
    *_section(
        "Composition",
        "composition",
        ("instances", "What does each sample represent?"),
        ("count", "How many samples are there?"),
        ("sample", "Is it a sample of a larger set? Of which, and how was it drawn?"),
        ("data", "What data does each sample have?"),
        ("labels", "Is there a label or a target for each sample?"),
        ("missing", "Is anything missing from samples?"),
        ("relations", "Are relations between samples made explicit?"),
        ("splits", "Are there recommended splits?"),
        ("errors", "Are there errors, noise or redundant samples?"),
        ("self_contained", "Is it complete in itself, or does it link to other resources?"),
        ("confidential", "May it have confidential data?"),
        ("offensive", "May it have data that offends, threatens or frightens?"),
        ("people", "Does it show or describe people? Which groups of them?"),
        ("identifiable", "Can persons be identified?"),
        ("sensitive", "May it have sensitive data, such as health, religion or opinions?"),
    ),
    *_section(
        "Collection",
        "collection",
        ("acquired", "How was the data of each sample acquired?"),
        ("mechanism", "By which mechanisms or programs was it collected, and how were they checked?"),
        ("sampling", "If it is a sample, by which strategy was it drawn?"),
        ("workers", "Who took part in the collection, and how were they paid?"),
        ("time", "When was it collected? Is that when the data was made?"),
        ("ethics", "Was there an ethical review?"),
        ("consent", "Were the persons concerned told, did they consent, and can they withdraw?"),
        ("impact", "Was the impact on persons analysed?"),
    ),
    *_section(
        "Preprocessing",
        "preprocessing",
        ("done", "What was cleaned, selected or labelled, and how?"),
        ("raw", "Is the raw data kept?"),
        ("software", "Is the software available?"),
    ),
    *_section(
        "Uses",
        "uses",
        ("already", "What has it been used for?"),
        ("tasks", "What else could it be used for?"),
        ("effects", "Does its making limit its uses, or could they harm anyone?"),
        ("not", "What should it not be used for?"),
    ),
    *_section(
        "Distribution",
        "distribution",
        ("who", "To whom is it given?"),
        ("how", "How is it given, and does it have a persistent identifier?"),
        ("when", "When is it given?"),
        ("license", "Under which licence or terms?"),
        ("third_parties", "Do others hold rights in the data?"),
        ("export", "Are there export controls or other rules?"),
    ),
    *_section(
        "Maintenance",
        "maintenance",
        ("contact", "Who maintains it, and how can they be reached?"),
        ("errata", "Is there a list of errata?"),
        ("updates", "Will it be updated, by whom, and how is that announced?"),
        ("retention", "Is there a limit to how long data of persons is kept?"),
        ("versions", "Are older versions kept?"),
        ("removal", "How is a picture taken down?"),
        ("extending", "How can others extend it?"),
    ),
)
