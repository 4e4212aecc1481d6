/* SPDX-License-Identifier: MIT */

/* The words that the summary's features look for: words that say nothing by themselves, words of
 * the first person, and cues: words of time, of decision and obligation, of preference. English in
 * the main, as the measurements behind the formula were, and the common ones of German, French,
 * Spanish, Chinese and Japanese (whose words come as pairs of characters). In a language that is
 * not here the features count for less and the density of rare terms for more, which alone found
 * most of what all of them found.
 *
 * A table that is searched by halves, in the order of bytes; the test checks the order. */

#include "memory/extract-internal.h"

#define STOP  EXTRACT_WORD_STOP
#define FIRST EXTRACT_WORD_FIRST
#define CUE   EXTRACT_WORD_CUE

/* clang-format off */
static const struct {
        const char *word;
        unsigned kinds;
} words[] = {
        { "a", STOP }, { "aber", STOP }, { "about", STOP }, { "accepted", CUE }, { "adore", CUE },
        { "after", STOP }, { "ago", CUE }, { "agree", CUE }, { "agreed", CUE }, { "al", STOP },
        { "all", STOP }, { "allergic", CUE }, { "als", STOP }, { "also", STOP }, { "always", CUE },
        { "am", STOP }, { "an", STOP | CUE }, { "and", STOP }, { "anniversary", CUE }, { "année", CUE },
        { "ans", CUE }, { "any", STOP }, { "april", CUE }, { "are", STOP }, { "as", STOP }, { "at", STOP },
        { "au", STOP }, { "auch", STOP }, { "auf", STOP }, { "august", CUE }, { "aujourd'hui", CUE },
        { "aus", STOP }, { "aux", STOP }, { "avec", STOP }, { "avoid", CUE }, { "ayer", CUE },
        { "año", CUE }, { "años", CUE }, { "be", STOP }, { "because", STOP }, { "been", STOP },
        { "before", STOP }, { "bei", STOP }, { "being", STOP }, { "beschlossen", CUE }, { "bevorzuge", CUE },
        { "birthday", CUE }, { "bis", CUE }, { "booked", CUE }, { "bought", CUE }, { "brauche", CUE },
        { "but", STOP }, { "by", STOP }, { "can", STOP }, { "canceled", CUE }, { "cancelled", CUE },
        { "ce", STOP }, { "cette", STOP }, { "choose", CUE }, { "chose", CUE }, { "chosen", CUE },
        { "con", STOP }, { "could", STOP }, { "dans", STOP }, { "das", STOP }, { "dass", STOP },
        { "de", STOP }, { "deadline", CUE }, { "debo", CUE }, { "december", CUE }, { "decide", CUE },
        { "decided", CUE }, { "decides", CUE }, { "decidido", CUE }, { "decidí", CUE }, { "decision", CUE },
        { "del", STOP }, { "dem", STOP }, { "demain", CUE }, { "den", STOP }, { "deployed", CUE },
        { "depuis", CUE }, { "der", STOP }, { "des", STOP }, { "desde", CUE }, { "did", STOP },
        { "die", STOP }, { "dienstag", CUE }, { "dimanche", CUE }, { "dislike", CUE }, { "dislikes", CUE },
        { "do", STOP }, { "does", STOP }, { "doing", STOP }, { "dois", CUE }, { "domingo", CUE },
        { "don't", STOP }, { "donnerstag", CUE }, { "down", STOP }, { "du", STOP }, { "due", CUE },
        { "during", STOP }, { "décidé", CUE }, { "déteste", CUE }, { "each", STOP }, { "ein", STOP },
        { "eine", STOP }, { "einem", STOP }, { "einen", STOP }, { "einer", STOP }, { "el", STOP },
        { "elle", STOP }, { "elles", STOP }, { "encanta", CUE }, { "enjoy", CUE }, { "enjoys", CUE },
        { "entschieden", CUE }, { "er", STOP }, { "era", STOP }, { "es", STOP }, { "est", STOP },
        { "et", STOP }, { "favorita", CUE }, { "favorite", CUE }, { "favorito", CUE }, { "favourite", CUE },
        { "february", CUE }, { "few", STOP }, { "finished", CUE }, { "fixed", CUE }, { "for", STOP },
        { "freitag", CUE }, { "friday", CUE }, { "from", STOP }, { "further", STOP }, { "für", STOP },
        { "geplant", CUE }, { "gestern", CUE }, { "haben", STOP }, { "had", STOP }, { "has", STOP },
        { "hasse", CUE }, { "hasta", CUE }, { "hat", STOP }, { "hate", CUE }, { "hates", CUE },
        { "have", STOP }, { "having", STOP }, { "he", STOP }, { "hello", STOP }, { "her", STOP },
        { "here", STOP }, { "hers", STOP }, { "heute", CUE }, { "hey", STOP }, { "hi", STOP },
        { "hier", CUE }, { "him", STOP }, { "hired", CUE }, { "his", STOP }, { "how", STOP }, { "hoy", CUE },
        { "i", FIRST }, { "i'd", FIRST }, { "i'll", FIRST }, { "i'm", FIRST }, { "i've", FIRST },
        { "ich", FIRST }, { "if", STOP }, { "il", STOP }, { "ils", STOP }, { "im", STOP }, { "immer", CUE },
        { "important", CUE }, { "in", STOP }, { "into", STOP }, { "is", STOP }, { "isn't", STOP },
        { "ist", STOP }, { "it", STOP }, { "it's", STOP }, { "its", STOP }, { "j'ai", FIRST },
        { "j'aime", FIRST }, { "jahr", CUE }, { "jahre", CUE }, { "jamais", CUE }, { "january", CUE },
        { "je", FIRST }, { "jeudi", CUE }, { "joined", CUE }, { "jueves", CUE }, { "july", CUE },
        { "june", CUE }, { "jusqu'à", CUE }, { "just", STOP }, { "la", STOP }, { "las", STOP },
        { "last", CUE }, { "le", STOP }, { "les", STOP }, { "let", STOP }, { "let's", STOP },
        { "liebe", CUE }, { "lieber", CUE }, { "lo", STOP }, { "los", STOP }, { "love", CUE },
        { "loved", CUE }, { "loves", CUE }, { "lundi", CUE }, { "lunes", CUE }, { "ma", FIRST },
        { "mais", STOP }, { "mardi", CUE }, { "married", CUE }, { "martes", CUE }, { "mañana", CUE },
        { "me", FIRST }, { "mein", FIRST }, { "meine", FIRST }, { "meinen", FIRST }, { "meiner", FIRST },
        { "mercredi", CUE }, { "mes", FIRST | CUE }, { "mi", FIRST }, { "mich", FIRST }, { "midnight", CUE },
        { "migrated", CUE }, { "mine", FIRST }, { "mir", FIRST }, { "mis", FIRST }, { "mit", STOP },
        { "mittwoch", CUE }, { "miércoles", CUE }, { "moi", FIRST }, { "mois", CUE }, { "mon", FIRST },
        { "monat", CUE }, { "monate", CUE }, { "monday", CUE }, { "montag", CUE }, { "month", CUE },
        { "monthly", CUE }, { "months", CUE }, { "more", STOP }, { "morgen", CUE }, { "most", STOP },
        { "moved", CUE }, { "muss", CUE }, { "must", CUE }, { "muy", STOP }, { "my", FIRST },
        { "myself", FIRST }, { "más", STOP }, { "nach", STOP }, { "ne", STOP }, { "need", CUE },
        { "needs", CUE }, { "never", CUE }, { "next", CUE }, { "nicht", STOP }, { "nie", CUE },
        { "no", STOP }, { "noch", STOP }, { "noon", CUE }, { "nor", STOP }, { "nos", FIRST },
        { "nosotros", FIRST }, { "not", STOP }, { "notre", FIRST }, { "nous", FIRST }, { "november", CUE },
        { "now", STOP }, { "nuestra", FIRST }, { "nuestro", FIRST }, { "nuestros", FIRST }, { "nunca", CUE },
        { "nur", STOP }, { "o", STOP }, { "o'clock", CUE }, { "october", CUE }, { "oder", STOP },
        { "odio", CUE }, { "of", STOP }, { "off", STOP }, { "oh", STOP }, { "ok", STOP }, { "okay", STOP },
        { "on", STOP }, { "once", STOP }, { "only", STOP }, { "or", STOP }, { "other", STOP }, { "ou", STOP },
        { "our", STOP | FIRST }, { "ours", STOP | FIRST }, { "out", STOP }, { "over", STOP }, { "own", STOP },
        { "para", STOP }, { "pas", STOP }, { "pero", STOP }, { "plan", CUE }, { "planeo", CUE },
        { "planned", CUE }, { "planning", CUE }, { "plans", CUE }, { "plus", STOP }, { "por", STOP },
        { "postponed", CUE }, { "pour", STOP }, { "prefer", CUE }, { "preference", CUE },
        { "preferred", CUE }, { "prefers", CUE }, { "prefiero", CUE }, { "promise", CUE },
        { "promised", CUE }, { "préfère", CUE }, { "prévu", CUE }, { "que", STOP }, { "qui", STOP },
        { "quit", CUE }, { "rather", CUE }, { "really", STOP }, { "rejected", CUE }, { "released", CUE },
        { "remember", CUE }, { "renamed", CUE }, { "same", STOP }, { "samedi", CUE }, { "samstag", CUE },
        { "saturday", CUE }, { "schedule", CUE }, { "scheduled", CUE }, { "schon", STOP }, { "se", STOP },
        { "seit", CUE }, { "semaine", CUE }, { "semana", CUE }, { "september", CUE }, { "shall", CUE },
        { "she", STOP }, { "should", CUE }, { "sich", STOP }, { "sie", STOP }, { "siempre", CUE },
        { "signed", CUE }, { "since", CUE }, { "sind", STOP }, { "so", STOP }, { "sold", CUE },
        { "soll", CUE }, { "some", STOP }, { "son", STOP }, { "sonntag", CUE }, { "sont", STOP },
        { "started", CUE }, { "su", STOP }, { "such", STOP }, { "sunday", CUE }, { "sur", STOP },
        { "sus", STOP }, { "switched", CUE }, { "sábado", CUE }, { "than", STOP }, { "thank", STOP },
        { "thanks", STOP }, { "that", STOP }, { "that's", STOP }, { "the", STOP }, { "their", STOP },
        { "theirs", STOP }, { "them", STOP }, { "then", STOP }, { "there", STOP }, { "there's", STOP },
        { "these", STOP }, { "they", STOP }, { "they're", STOP }, { "this", STOP }, { "those", STOP },
        { "through", STOP }, { "thursday", CUE }, { "till", CUE }, { "to", STOP }, { "today", CUE },
        { "tomorrow", CUE }, { "tonight", CUE }, { "too", STOP }, { "toujours", CUE }, { "tuesday", CUE },
        { "um", STOP }, { "un", STOP }, { "una", STOP }, { "unas", STOP }, { "und", STOP }, { "under", STOP },
        { "une", STOP }, { "unos", STOP }, { "uns", FIRST }, { "unser", FIRST }, { "unsere", FIRST },
        { "until", CUE }, { "up", STOP }, { "us", FIRST }, { "vendredi", CUE }, { "very", STOP },
        { "viernes", CUE }, { "von", STOP }, { "want", CUE }, { "wanted", CUE }, { "wants", CUE },
        { "war", STOP }, { "waren", STOP }, { "was", STOP }, { "wasn't", STOP }, { "we", STOP | FIRST },
        { "we'd", FIRST }, { "we'll", FIRST }, { "we're", FIRST }, { "we've", FIRST }, { "wednesday", CUE },
        { "week", CUE }, { "weekly", CUE }, { "weeks", CUE }, { "well", STOP }, { "wenn", STOP },
        { "were", STOP }, { "what", STOP }, { "what's", STOP }, { "when", STOP }, { "where", STOP },
        { "which", STOP }, { "while", STOP }, { "who", STOP }, { "whom", STOP }, { "why", STOP },
        { "wichtig", CUE }, { "wie", STOP }, { "will", STOP }, { "wir", FIRST }, { "wish", CUE },
        { "with", STOP }, { "woche", CUE }, { "wochen", CUE }, { "would", STOP }, { "y", STOP },
        { "yeah", STOP }, { "year", CUE }, { "yearly", CUE }, { "years", CUE }, { "yes", STOP },
        { "yesterday", CUE }, { "yo", FIRST }, { "you", STOP }, { "you're", STOP }, { "your", STOP },
        { "yours", STOP }, { "zu", STOP }, { "était", STOP }, { "上周", CUE }, { "上月", CUE },
        { "下周", CUE }, { "下月", CUE }, { "予定", CUE }, { "今天", CUE }, { "今日", CUE },
        { "先月", CUE }, { "先週", CUE }, { "决定", CUE }, { "去年", CUE }, { "喜欢", CUE },
        { "喜歡", CUE }, { "好き", CUE }, { "嫌い", CUE }, { "必须", CUE }, { "明天", CUE },
        { "明年", CUE }, { "明日", CUE }, { "昨天", CUE }, { "昨日", CUE }, { "来年", CUE },
        { "来月", CUE }, { "来週", CUE }, { "決め", CUE }, { "決定", CUE }, { "約束", CUE },
        { "計劃", CUE }, { "计划", CUE }, { "计画", CUE }, { "讨厌", CUE },
};
/* clang-format on */

unsigned extract_word_kinds(const char *term) {
        size_t low = 0, high = ELEMENTSOF(words);

        while (low < high) {
                size_t middle = (low + high) / 2;
                int order = strcmp(term, words[middle].word);
                if (order == 0)
                        return words[middle].kinds;
                if (order < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return 0;
}

bool extract_words_are_sorted(void) {
        for (size_t i = 1; i < ELEMENTSOF(words); i++)
                if (strcmp(words[i - 1].word, words[i].word) >= 0)
                        return false;
        return true;
}
