"""How text becomes terms."""

import unicodedata

import pytest

from crossforge.errors import InputError
from crossforge.retrievers.analysis import Analyzer, choose_analyzer

JAPANESE = ["猫が窓のそばで眠っている", "東京の天気は晴れです"]
THAI = ["แมวนอนอยู่ข้างหน้าต่าง"]
ENGLISH = ["The cat sleeps by the window", "Sunny weather in London"]


def test_words_are_lowered_stemmed_and_freed_of_stop_words():
    assert Analyzer().terms("The Boats, and SAILING boats!") == ["boat", "sail", "boat"]


def test_without_a_language_words_stay_as_they_are():
    assert Analyzer(language="none").terms("The Boats and boats") == ["the", "boats", "and", "boats"]


def test_another_language_has_its_own_stemmer_and_no_english_stop_words():
    assert Analyzer(language="german").terms("The und die Häuser") == ["the", "haus"]
    assert Analyzer(language="french").terms("The bateaux et le vent") == ["the", "bateau", "vent"]


def test_a_language_without_a_list_of_stop_words_keeps_every_word():
    assert len(Analyzer(language="basque").terms("itsasontzia eta haizea")) == 3


def test_character_terms_are_overlapping_and_stay_inside_words():
    assert Analyzer("char").terms("東京都 X, ab") == ["東京", "京都", "x", "ab"]
    assert Analyzer("char", ngram=3).terms("abcd ef") == ["abc", "bcd", "ef"]


@pytest.mark.parametrize("kind", ["word", "char"])
def test_text_without_letters_has_no_terms(kind):
    assert Analyzer(kind).terms(" …!? 🥖") == []


def test_an_unknown_language_is_an_input_error_that_lists_the_known_ones():
    with pytest.raises(InputError, match=r"no stemmer for the language 'klingon'.*english"):
        Analyzer(language="klingon")


@pytest.mark.parametrize("texts", [JAPANESE, THAI, [*JAPANESE, "with some English"]])
def test_scripts_without_spaces_are_read_by_character(texts):
    assert choose_analyzer(texts).kind == "char"


def test_english_is_read_by_stemmed_word():
    assert choose_analyzer(ENGLISH) == Analyzer("word", "english")


def test_a_few_foreign_names_do_not_change_the_choice():
    assert choose_analyzer([*ENGLISH * 5, "Tokyo (東京)"]) == Analyzer("word", "english")


@pytest.mark.parametrize("text", ["Кошка спит у окна", "η γάτα κοιμάται", ""])
def test_too_few_words_of_other_scripts_are_read_unstemmed(text):
    assert choose_analyzer([text]) == Analyzer("word", "none")


def test_only_the_first_thousand_texts_are_looked_at():
    def texts():
        yield from ["plain English"] * 1000
        raise AssertionError("read on")

    assert choose_analyzer(texts()).kind == "word"


BRAHMI = ["\U00011013\U00011038\U0001101f", "\U00011018\U00011042\U0001102d"]


@pytest.mark.parametrize("words", [["हिन्दी", "भाषा"], ["cafe\u0301s", "ouverts"], BRAHMI])
def test_combining_marks_do_not_cut_a_word(words):
    assert Analyzer(language="none").words(" ".join(words)) == [unicodedata.normalize("NFC", word) for word in words]


SENTENCES = {
    "english": "The boat left the harbour before sunrise, and nobody on the pier saw who was at the rudder.",
    "german": "Das Boot verliess den Hafen vor Sonnenaufgang, und niemand auf dem Steg sah, wer am Ruder stand.",
    "french": "Le bateau a quitté le port avant le lever du soleil et personne sur le quai n'a vu qui tenait la barre.",
    "spanish": "El barco salió del puerto antes del amanecer y nadie en el muelle vio quién llevaba el timón.",
    "italian": "La barca lasciò il porto prima dell'alba e nessuno sul molo vide chi era al timone.",
    "portuguese": "O barco deixou o porto antes do nascer do sol e ninguém no cais viu quem estava ao leme.",
    "dutch": "De boot verliet de haven voor zonsopgang en niemand op de steiger zag wie er aan het roer stond.",
    "swedish": "Båten lämnade hamnen före soluppgången och ingen på bryggan såg vem som stod vid rodret.",
    "danish": "Båden forlod havnen før solopgang, og ingen på molen så, hvem der stod ved roret.",
    "norwegian": "Båten forlot havnen før soloppgang, og ingen på brygga så hvem som sto ved roret.",
    "finnish": "Vene lähti satamasta ennen auringonnousua, eikä kukaan laiturilla nähnyt, kuka oli ruorissa.",
    "hungarian": "A hajó napkelte előtt hagyta el a kikötőt, és senki sem látta a mólón, hogy ki állt a kormánynál.",
    "romanian": "Barca a părăsit portul înainte de răsăritul soarelui și nimeni nu a văzut cine era la cârmă.",
    "turkish": "Tekne güneş doğmadan önce limandan ayrıldı ve iskelede hiç kimse dümende kim olduğunu görmedi.",
    "russian": "Лодка вышла из гавани до восхода солнца, и никто на причале не видел, кто стоял у руля.",
    "greek": "Το σκάφος έφυγε από το λιμάνι πριν από την ανατολή και κανείς δεν είδε ποιος ήταν στο πηδάλιο.",
    "arabic": "غادر القارب الميناء قبل شروق الشمس ولم ير أحد على الرصيف من كان يقود الدفة.",
    "hindi": "नाव सूर्योदय से पहले बंदरगाह से निकल गई और घाट पर किसी ने नहीं देखा कि पतवार पर कौन था।",
}
UKRAINIAN = "Човен вийшов з гавані до сходу сонця, і ніхто на причалі не бачив, хто стояв біля керма."


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_read_in_its_language(language):
    assert choose_analyzer([SENTENCES[language]]) == Analyzer("word", language)
    assert choose_analyzer(["ABC-123", SENTENCES[language], "USB 2"]) == Analyzer("word", language)


def test_a_language_without_a_stemmer_is_not_taken_for_its_neighbour():
    assert choose_analyzer([UKRAINIAN]) == Analyzer("word", "none")


def test_german_in_ascii_is_not_read_as_english():
    texts = ["Die alte Muehle steht am Bach", "Im Winter bleibt der Laden zu", "Wer mahlt das Korn fuer uns?"]
    assert choose_analyzer(texts).language == "german"


def test_the_language_of_most_texts_decides():
    assert choose_analyzer([SENTENCES["german"]] * 9 + [SENTENCES["english"]]).language == "german"


def test_marks_of_stop_words_may_be_composed_or_not():
    assert Analyzer(language="french").terms("e\u0301te\u0301 bateau") == ["bateau"]
