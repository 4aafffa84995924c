"""What the questions of speechvq-analyze ask, and what their numbers mean, in a sentence each.

A question, a number or a figure that is not named here is shown under the name that its file has.
"""

from dataclasses import dataclass, field

from speechvq.analysis.generation import OF_PRODUCT_CODES
from speechvq.analysis.phonemes import PRODUCT_NOTE


@dataclass(frozen=True)
class Question:
    """A question of ``speechvq-analyze`` and its numbers.

    Attributes
    ----------
    title : str
        Heading of its section.
    asks : str
        What is asked, and how it is answered.
    meanings : dict of str to str
        A sentence for each number of its ``scores.json``.
    captions : dict of str to str
        Of its figures, by the name of the file without suffix.
    of_product_codes : str
        What else to know where a code is one of several codebooks.
    """

    title: str
    asks: str = ""
    meanings: dict[str, str] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    of_product_codes: str = ""


QUESTIONS = {
    "phonemes": Question(
        "Codes and phones",
        "Each code is mapped to its most likely phone on one part of the data; the map is scored "
        "on another part, beside codes that learned less or nothing.",
        {
            "accuracy": "Share of codes whose phone in the map is the phone that is spoken.",
            "chance": "Accuracy of always naming the commonest phone.",
            "phone_purity": "Accuracy of a map made on the scored part itself; an upper bound.",
            "cluster_purity": "Share of a phone's frames that have the phone's commonest code.",
            "pnmi": "Share of the phones' entropy that the codes explain; 1 is all of it.",
            "v_measure": "Mean of two shares: of the phones' entropy that the codes explain, and "
            "of the codes' that the phones do.",
            "perplexity": "Codes in use, each counted by how often it is used; at most K.",
            "codes_used": "Codes that occur at all.",
        },
        {
            "confusion": "For each phone that is spoken, the phones that its codes stand for.",
            "codes": "The phones of each code; one strong cell in a column is a code of one phone.",
        },
        PRODUCT_NOTE,
    ),
    "conversion": Question(
        "Conversions, judged",
        "Models that were not trained here listen to conversions, and to the recordings for "
        "comparison.",
        {
            "similarity to target": "Cosine of speaker embeddings; two recordings of one person "
            "have some 0.95.",
            "similarity to source": "Cosine with the speaker who was converted; less is better.",
            "identification accuracy": "Share of conversions that are named as the target, among "
            "all targets and the source.",
            "WER": "Wrong, missing and added words for each word said, by a speech recogniser.",
            "WER / source": "WER as a multiple of the recordings' own.",
            "PER": "Wrong, missing and added phones for each phone said.",
            "PER / source": "PER as a multiple of the recordings' own.",
            "overall": "Predicted opinion of listeners, from 1, bad, to 5, excellent.",
            "speech": "Predicted opinion of the voice alone, from 1 to 5.",
            "background": "Predicted opinion of the background alone, from 1 to 5.",
            "p808": "Predicted opinion in tests by ITU-T P.808, from 1 to 5.",
            "median Hz": "The middle of the pitch.",
            "range in semitones": "From low to high pitch.",
            "voiced share": "Share of the time with a pitch; hoarse speech has less.",
            "more voiced": "Voiced share less that of the source.",
            "semitones off target": "Distance of the median pitch from the target's.",
            "correlation": "Of the pitch with the source's: 1 keeps the melody, 0 has another.",
            "bits_per_sample": "Bits that the decoder needs for a sample, given the codes.",
        },
    ),
    "babble": Question(
        "New speech from a prior",
        "A prior draws codes, one after the other, and the decoder speaks them. The fewer bits it "
        "needs for a code of held-out speech, the better it knows how speech goes on.",
        {
            "prior": "Bits for a code of held-out speech, by the prior.",
            "unigram": "Bits by how often each code occurs.",
            "bigram": "Bits by the code before.",
            "trigram": "Bits by the two codes before.",
            "uniform (log2 K)": "Bits without any knowledge.",
            "decoder_bits_per_second": "Bits of the decoder for a second, given the codes.",
            "phones": "Jensen-Shannon divergence, in bits, from the phones of held-out speech.",
            "bigrams": "Divergence of pairs of codes.",
            "durations": "Divergence of how long a phone lasts.",
            "pauses": "Divergence of how long a pause lasts.",
        },
        {"babble": "Codes drawn from the prior beside held-out speech."},
        OF_PRODUCT_CODES,
    ),
    "codebook": Question("The codebook", "How the codes are used, and what is near to what."),
    "speakers": Question(
        "What is left of the speaker",
        "How well a classifier names the speaker from codes and latents. Less is better: the "
        "speaker is the decoder's to add.",
    ),
    "abx": Question(
        "ABX",
        "Of three pieces of speech, two with the same phones: how often the odd one is taken for "
        "the nearer, within a speaker and across speakers.",
    ),
    "reconstruction": Question(
        "Reconstruction", "What a recording loses on the way through its codes."
    ),
    "collapse": Question(
        "Does the decoder need its codes?",
        "The same decoder after three bottlenecks: bits with the true codes and with another "
        "utterance's. Where there is no difference, the decoder ignores its codes.",
    ),
}  # fmt: skip
