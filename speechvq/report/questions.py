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
            "class_accuracy": "The same accuracy of six broad classes, such as vowels.",
            "class_chance": "Accuracy of always naming the commonest class.",
            "precision": "Share of the changes of code with a change of phone within 20 ms.",
            "recall": "Share of the changes of phone with a change of code within 20 ms.",
            "f": "Harmonic mean of precision and recall.",
            "over_segmentation": "Changes of code beyond those of the phones, as a share of these.",
            "r_value": "Agreement of boundaries that does not reward too many of them; 1 is best.",
        },
        {
            "confusion": "For each phone that is spoken, the phones that its codes stand for.",
            "codes": "The phones of each code; one strong cell in a column is a code of one phone.",
            "recall": "Share of each phone's frames that its codes name.",
            "learning_curve": "Accuracy by the step of the training.",
        },
        PRODUCT_NOTE,
    ),
    "codebook": Question(
        "The codebook",
        "How the codes are used, and what they cost before and after coding.",
        {
            "codes_used": "Codes that occur at all.",
            "perplexity": "Codes in use, each counted by how often it is used; at most K.",
            "run_seconds": "Mean duration of a run of equal codes.",
            "longest_run_frames": "Codes in the longest run.",
            "rate": "Bits for a second of speech, with the entropies of the same speech.",
            "corrected": "The rate with Miller's correction for the little speech it is from.",
            "symbols": "Symbols that are coded.",
            "different": "How many of them are different.",
        },
        {
            "map": "Code vectors in a plane, those of one phone class in one colour.",
            "use": "How often each code is used, and how long its runs are.",
        },
    ),
    "speakers": Question(
        "What is left of the speaker",
        "Classifiers name the speaker of an utterance, from codes, from latents, and from features "
        "that hide nothing. Less is better: the speaker is the decoder's to add.",
        {
            "linear": "Share of utterances whose speaker logistic regression names.",
            "neighbours": "Share of utterances whose speaker the nearest neighbours name.",
            "chance": "Share by always naming the commonest speaker.",
            "plugin": "Bits that a code tells of its speaker, given the phone.",
            "excess": "These bits beyond those with shuffled speakers.",
            "speaker_entropy": "Bits that tell the speaker for certain.",
        },
        {"speakers": "Accuracy of the classifiers; the line is chance."},
    ),
    "abx": Question(
        "ABX",
        "X is a token of A's phone, B one of another in the same context: how often X is nearer to "
        "B, within a speaker and across speakers. Nothing is trained.",
        {
            "error": "Share of triples whose X is nearer to B; chance is 0.5.",
            "triples": "Triples that were compared.",
            "pairs": "Pairs of phones.",
        },
        {
            "abx": "Errors within a speaker and across speakers.",
            "pairs": "Errors of each pair of phones.",
        },
    ),
    "reconstruction": Question(
        "Reconstruction",
        "Utterances are drawn again from their codes by their own speakers, and compared with the "
        "recordings.",
        {"bits_per_sample": "Bits that the decoder needs for a sample, given the codes."},
    ),
    "collapse": Question(
        "Does the decoder need its codes?",
        "The same decoder after several bottlenecks: bits with the true codes, and with another "
        "utterance's. Where there is no difference, the decoder ignores its codes.",
    ),
    "conversion": Question(
        "Conversions, judged",
        "Models that were not trained here listen to conversions, and to the recordings for "
        "comparison.",
        {
            "similarity to target": "Cosine of speaker embeddings; two recordings of one person "
            "have some 0.95.",
            "similarity to source": "Cosine with the speaker who was converted; less is better.",
            "identification accuracy": "Share of conversions that are identified as the target, "
            "among all targets and the source.",
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
    "generation": Question(
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
        {"generation": "Codes drawn from the prior beside held-out speech."},
        OF_PRODUCT_CODES,
    ),
}  # fmt: skip
