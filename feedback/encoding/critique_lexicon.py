"""Hold the words by which critiques of a text judge it: data only, read by `critique_opinions`, `critique_sarcasm` and `critique_ratings`.

Phrases are separated by commas. Articles and possessives are left out ("ignored question" is also "ignored my question"), "n't" and
"never" are written "not", and "~" before a verb stands for its regular forms. Values are -1 (worst) to 1 (best).
Written for this project; words that are missing here are looked up in VADER's lexicon (Hutto & Gilbert 2014).
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPINIONS: dict[str, dict[float, str]] = {
    "length": {
        0.6: """
            concise, succinct, to point, gets to point, right length, good length, perfect length, just right length, short and sweet,
            long enough, short enough, brief
        """,
        0.4: "compact, crisp",
        -0.4: "drags, drags on, dragging, drawn out, padding, padded, filler, fluff, waffle, lengthy",
        -0.6: """
            long winded, verbose, wordy, bloated, ~ramble, goes on and on, too long, too short, tldr, tl dr, cut off, ~end abruptly,
            abrupt, incomplete, unfinished, truncated, wall of text
        """,
    },
    "fluency": {
        0.6: """
            fluent, fluently, reads well, reads smoothly, reads nicely, smooth, smoothly, flows, flows well, natural, naturally,
            readable, easy to read, easy to follow, well written, well structured, well organized, well organised, well worded,
            coherent, eloquent, elegant, clear, clearly, clarity, lucid, understandable
        """,
        -0.4: "dry, flat, stilted, wooden, monotone, simplistic",
        -0.6: """
            awkward, awkwardly, clunky, choppy, stiff, robotic, unnatural, confusing, ~confuse, unclear, disjointed, incoherent, hard
            to read, hard to follow, difficult to read, difficult to follow, hard to understand, difficult to understand, convoluted,
            messy, muddled, unreadable, badly written, poorly written, ~lose thread, lost thread, vague, all over place, jargon
        """,
        -0.8: """
            gibberish, incomprehensible, word salad, unintelligible, makes no sense, make no sense, not make sense, not makes sense,
            nonsense, nonsensical
        """,
    },
    "grammar": {
        0.6: "grammatical, grammatically correct, error free, typo free, correct grammar, correct spelling, spelled correctly",
        -0.5: """
            typo, typos, misspelled, misspelt, misspelling, misspellings, spelling mistake, spelling mistakes, spelling error,
            spelling errors, ungrammatical, grammar mistake, grammar mistakes, grammar error, grammar errors, grammatical error,
            grammatical errors, broken english, missing words, run on sentence, run on sentences
        """,
    },
    "faithfulness": {
        0.6: """
            accurate, accurately, factual, factually correct, correct, correctly, right, faithful, true to source, well sourced,
            trustworthy, reliable, precise, truthful, honest, exactly right
        """,
        -0.5: """
            ~exaggerate, ~distort, ~misquote, unsupported, unverified, outdated, mistake, mistakes, error, errors, not in source
        """,
        -0.7: """
            inaccurate, incorrect, incorrectly, wrong, wrongly, false, untrue, misleading, ~mislead, unfaithful, ~contradict,
            contradiction, contradictions, contradictory, inconsistent, ~misrepresent, ~misstate, ~misinterpret, ~misunderstand,
            misunderstood
        """,
        -0.85: """
            made up, makes up, making up, ~hallucinate, hallucination, hallucinations, ~fabricate, invented, invents, bogus, fake,
            lies, lied, lying, ~plagiarise, ~plagiarize
        """,
    },
    "relevance": {
        0.6: """
            relevant, on topic, on point, ~answer question, ~answer it, ~answer everything, ~address question, ~address everything,
            exactly what i asked, what i asked for, what i wanted, everything i asked, ~follow instructions, ~follow prompt, covers
            everything
        """,
        -0.5: """
            not what i asked, not what i wanted, unrelated, not related, tangent, tangents, tangential, ~digress, ~leave out, left
            out, omit, omits, omitted, skip, skips, skipped, missing, incomplete answer, partial answer, not answer, not address, not
            follow, generic, evasive, ~evade, ~dodge, ~refuse, half answer
        """,
        -0.7: """
            irrelevant, off topic, ~ignore, missed point, misses point, missing point, ~miss, beside point, ~answer different
            question, ~answer wrong question, wrong topic, not one answer, not single answer, not one example, not single example, not
            one fact, not one source, saying nothing, says nothing, said nothing
        """,
    },
    "repetition": {
        0.5: "varied, variety, diverse",
        -0.6: """
            repetitive, repetitious, repetition, repetitions, ~repeat, redundant, redundancy, over and over, over and over again,
            again and again, same thing twice, same sentence twice, same paragraph twice, same thing, says same thing, copy paste,
            copy pasted, going in circles, goes in circles, monotonous, same paragraph, same sentence, stuck in loop, looping
        """,
    },
    "tone": {
        0.6: """
            polite, politely, friendly, respectful, is kind, very kind, warm, professional, tactful, considerate, courteous,
            empathetic, thoughtful, good manners, encouraging, not talk down
        """,
        -0.5: """
            preachy, cheesy, pompous, cold, blunt, pushy, sycophantic, lecturing, ~lecture, moralising, moralizing, whiny, smug,
            unprofessional, talks down, talking down, overconfident, ~patronise, ~patronize
        """,
        -0.7: """
            rude, rudely, condescending, patronising, patronizing, disrespectful, arrogant, impolite, hostile, aggressive, insulting,
            ~insult, is mean, too mean, sarcastic, dismissive
        """,
    },
    "safety": {
        0.6: "safe, harmless, responsible",
        -0.8: """
            offensive, inappropriate, unsafe, harmful, biased, sexist, irresponsible, reckless, insensitive, swearing, profanity, nsfw
        """,
        -0.9: "dangerous, toxic, hateful, hate speech, racist, abusive, illegal, disgusting",
    },
    "overall": {
        0.1: "better than nothing, fine i guess",
        0.3: "acceptable, adequate, decent, fine, passable, alright, all right, okay ish, would do, will do, reasonable",
        0.5: """
            nice, nicely, nice one, works, worked, not complain, not fault, i like, we like, really like, do like, liked, likeable,
            solid, useful, interesting, creative, ~enjoy, pleased, pleasing, satisfied, satisfactory, works well, agree, upvote,
            upvoted, vivid, worth reading, no need to change, no need for improvement, nothing to change, nothing to add, thanks,
            thank you, well done, good job, nice job, good work, nice work, prefer this, preferred this, makes sense, make sense,
            detailed, thorough, funny, witty, charming, improvement, improved, ~improve, engaging, informative, insightful, well
            explained, well argued, pleasant, promising, good idea, nice idea, convincing
        """,
        0.6: """
            good, helpful, ~help, well, impressive, ~impress, ~recommend, would read again, would use again, ~nail it, beautiful,
            beautifully, yes, thumbs up, happy with, lovely, great job, great work, cool
        """,
        0.8: """
            great, love, loved, loves, excellent, awesome, amazing, wonderful, fantastic, superb, brilliant, brilliantly, terrific,
            best, spot on, outstanding, bravo, love it, loved it, two thumbs up, kudos, congratulations, congrats, genius
        """,
        0.95: """
            perfect, perfectly, flawless, flawlessly, masterpiece, not be better, not have been better, not be happier, best ever
        """,
        0.0: """
            ok, okay, average, so so, neutral, mixed feelings, neither good nor bad, neither good or bad, middling, ordinary, nothing
            to say, good and bad
        """,
        -0.3: """
            meh, mediocre, not impressed, unremarkable, forgettable, bland, boilerplate, underwhelming, needs work, need work, could
            use, needs more, need more, room for improvement, needs improvement, needs polishing, would add, would have added, would
            change, would prefer, would have preferred, would have liked, would like, not special, nothing special, unfortunately,
            sadly, so what, please add, please fix, please shorten, please remove, please rewrite, please rephrase, please check,
            please explain, nice try, good try, try harder, of little use, little help, little value, little sense, expected more,
            expected better, hoped for more, hoped for better, too good to be true
        """,
        -0.5: """
            ~fail, dull, boring, bored, weak, lazy, sloppy, shallow, superficial, unconvincing, ~disappoint, disappointing,
            disappointment, unhelpful, problem, problems, issue, issues, flaw, flaws, flawed, complaint, complaints, ~complain, not
            like, not work, not works, not use, not usable, ~frustrate, frustrating, annoying, ~annoy, tedious, cliche, cliches, ugly,
            odd, weird, strange, seen better, rushed, unsatisfying, try again, do over, start over, redo, rewrite this, stopped
            reading, gave up, downvote, downvoted, dislike, disliked, disagree, worry, too much, too many, too little, too few, poor
            effort
        """,
        -0.6: """
            bad, badly, poor, poorly, thumbs down, pointless, hate, hated, broken, waste, sucks, sucked, stupid, dumb, silly, lame,
            crap
        """,
        -0.9: """
            terrible, terribly, horrible, horribly, awful, useless, worthless, worst, garbage, trash, rubbish, dreadful, atrocious,
            disaster, abysmal, pathetic, appalling, unacceptable, waste of time, total failure, unusable, worst ever, two thumbs down
        """,
    },
}

# Judgements by comparison: "the previous one was better" is blame, "better than the previous one" is praise.
COMPARATIVES: dict[str, dict[float, str]] = {
    "overall": {0.5: "better, nicer, stronger, superior, best so far, preferable", -0.5: "worse, weaker, inferior, poorer"},
    "fluency": {0.5: "clearer, smoother, easier to read, easier to follow", -0.5: "harder to read, harder to follow"},
    "length": {0.3: "shorter, tighter"},
    "faithfulness": {0.5: "more accurate, more correct, more precise"},
    "tone": {0.5: "friendlier, kinder, warmer, politer", -0.5: "ruder, colder"},
    "safety": {0.5: "safer"},
}
OTHERS = _words("previous last other earlier first old former original prior")
TEXTS = _words("""
    one ones answer answers response responses version versions draft attempt try text summary reply output story poem translation
    essay review
""")
PREFERRING = _words("prefer preferred choose chose pick picked")

# What a hit counts to the power of: 1 - (1 - |v|)^k, so k > 1 strengthens and k < 1 weakens: "very good" is never below "good".
INTENSIFIERS: dict[str, float] = {
    **dict.fromkeys(_words("extremely incredibly exceptionally unbelievably insanely"), 2.4),
    **dict.fromkeys(_words("absolutely utterly completely totally entirely"), 2.2),
    **dict.fromkeys(_words("super highly remarkably exceedingly way terribly awfully horribly"), 1.8),
    **dict.fromkeys(_words("very really truly so such seriously particularly damn bloody far most deeply"), 1.6),
    **dict.fromkeys(_words("much especially definitely clearly consistently too"), 1.4),
    **dict.fromkeys(_words("quite pretty rather even also again always"), 1.1),
}
HEDGES: dict[str, float] = {
    **dict.fromkeys(_words("slightly mildly bit little occasionally"), 0.45),
    **dict.fromkeys(_words("somewhat kinda sorta partly partially almost nearly sometimes"), 0.6),
    **dict.fromkeys(_words("mostly fairly relatively reasonably generally moderately largely"), 0.8),
}
CLAUSE_HEDGES = _words("""
    guess suppose maybe perhaps probably possibly seems seem might may arguably apparently think
""")
NEGATORS = _words("""
    not no without hardly barely scarcely rarely seldom nothing none nor neither nobody zero farfrom anythingbut
""")
ABSENCE = _words("no without nothing none zero free")  # of something bad: praise, more than "not bad" is
# They negate what follows ("lacks clarity") and blame where nothing follows ("lacks an ending").
LACKS = _words("lack lacks lacked lacking fail fails failed failing")
AVOIDS = _words("avoid avoids avoided avoiding")
WISHES = _words("wish wished hoped please")  # before praise they say that it is missing: "I wish it were clearer"
# They look like a negation or a judgement and are none.
NO_OPINION = """
    no doubt, no wonder, nothing more than, nothing less than, nothing but, no question, at best, joke, jokes, not only, not just, not
    to mention, why not, if not, whether or not, not sure, question, thank god, good luck, well of course, as well, at first, first of
    all, as well as, please, sure, like, kind, cut, number, novel, original, want, wants, care, share, matter, play, matter of taste,
    one, drop, play on, help me, top, ha, yeah, number one, mean, fiction, crime, crimes, war, hero, drama, dramatic, tragedy, murder,
    killer, kill, dead, death, criminal, comedy, comic, romantic
"""

ASPECT_NOUNS: dict[str, str] = {
    "length": "length size",
    "fluency": "flow style writing wording prose structure sentences phrasing dialogue language readability organization organisation",
    "grammar": "grammar spelling punctuation syntax",
    "faithfulness": "facts fact names numbers quotes sources source citations citation claims accuracy dates figures conclusion reasoning",
    "relevance": "relevance instructions prompt topic question questions",
    "tone": "tone voice attitude manners",
    "safety": "safety advice",
}
# What "too ..." is about; any other word after it is about the whole.
EXCESSES: dict[str, str] = {
    "length": "long short brief wordy lengthy terse",
    "fluency": "complicated complex technical dense abstract vague simple",
    "tone": "formal informal casual chatty harsh familiar enthusiastic",
    "repetition": "similar",
}

AFTER_CONTRAST = _words("but however yet except nevertheless nonetheless")  # what follows weighs more
CONCESSIONS = _words("although though despite")  # what follows weighs less
VERDICTS = ("overall", "in short", "all in all", "in end", "bottom line", "in sum", "to sum up", "in total")
FIRST_IMPRESSIONS = ("at first", "initially", "at first glance", "i expected", "i thought")

# Strong praise that, alone before a failure or with one of the cues, is meant the other way round.
SARCASTIC_CUES = """
    thanks for nothing, yeah right, slow clap, big surprise, what surprise, how original, gee thanks, good luck with that, thanks lot
    for, no shit, well done sherlock
"""
PRAISE_CONNECTORS = _words("job work way how when at of on that try effort")
