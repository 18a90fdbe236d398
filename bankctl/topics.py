"""What `bankctl help TOPIC` explains."""

TOPICS = {
    "exit-codes": "The exit status of every command.",
    "environment": "Variables that change what bankctl does.",
    "files": "What bankctl stores on this machine, and where.",
    "money": "How amounts, currencies and account numbers are written.",
    "output": "Tables, JSON, CSV, and selecting with --query.",
    "paying-files": "Payment files, and what happens if a run stops.",
    "retries": "Why nothing is paid twice.",
    "scripts": "What a script must state, because nobody can be asked.",
}

TEXTS = {
    "environment": """\
BANKCTL_PROFILE   the profile to use when --profile is not given
BANKCTL_TOKEN     an API key to use instead of the session: KEY@URL, as `bankctl auth api-keys create`
                  prints it; the key is sent to the bank of that URL and to no other
BANKCTL_YES       1 answers every question with yes, as --yes does (`bankctl help scripts`)
BANKCTL_HOME      folder for profiles, sessions and data
BANKCTL_CACHE     folder for the packages that `bankctl dev` fetches
NO_COLOR          no colour, whatever its value (https://no-color.org)
CLICOLOR_FORCE    colour even when the output is not a terminal
COLUMNS           the width of tables
HTTPS_PROXY       a proxy on the way to the bank (else ALL_PROXY); NO_PROXY names hosts that need none;
                  never used for this machine itself
SSL_CERT_FILE     the authorities to trust where the profile names no ca_file (or SSL_CERT_DIR)
SSLKEYLOGFILE     a file that receives the keys of each TLS connection, for inspecting the traffic
TZ                the time zone of tables; JSON and CSV are in UTC

A malformed variable is named and the command refused (exit 2) before anything is sent.

docs/settings.md lists these with the settings of the daemons and of `bankctl dev`.""",
    "files": """\
config.toml               profiles: url and certificate of each bank
sessions/PROFILE.json     the session (mode 0600 in a folder 0700; refused if others can read it)
pending/KEY.json          transfers whose outcome is unknown; see `bankctl transactions retry`
transfers/RUN-*.jsonl     the outcome of each row of a run
transfers/files/          which files were paid under which run

`bankctl doctor` shows the folders; BANKCTL_HOME moves them.""",
    "money": """\
An amount is written with a point and as many decimals as the currency has, or fewer:
12, 12.5, 12.50 EUR; 1200 JPY. No sign, no grouping, no exponent. In JSON it is a
string, so that no program turns it into a binary fraction.

A currency is an ISO 4217 code, such as EUR. A transfer uses the sending account's
currency.

An account number has ten digits. The last is a check digit, so a mistyped or swapped
digit is found before anything is sent. An account elsewhere is named by its IBAN, with or
without spaces; its length and its check digits are checked as well.

A reference has up to 140 characters of any script, including no-break spaces and joined
emoji. Control characters, line breaks, and characters that change the direction of
writing are refused; the message names the first one and its position.""",
    "output": """\
Results go to stdout, everything else to stderr. A terminal gets tables and colour, a
pipe plain aligned text that is never wrapped.

-o json      everything the bank answered, indented
-o jsonl     the same, one item a line
-o csv       the columns of the table, with a header
--query      JMESPath (https://jmespath.org) on the JSON; -r prints strings without quotes, one a line:
             bankctl accounts list --query "[].balance.amount" -r

With -o json and jsonl errors are JSON too: one line on stderr with code, detail, hint,
exit_status and request_id.

A --query that can never work is refused before anything is sent. If the request was
carried out but its result cannot be printed, because stdout is closed or full or the
query does not fit the result, the whole result is shown (on stderr if necessary) and the
exit status is 10. A secret that is shown once then goes to the terminal, if there is one.

CSV and -r are UTF-8 whatever the locale; JSON escapes what the encoding lacks. In CSV an
absent value is an empty field and an empty text is "". A text that a spreadsheet would
run (it begins with = + - @, a tab or a line break) gets an apostrophe in front, as does
one that begins with an apostrophe; plain numbers stay as they are.

On a terminal times are local, with the offset in the hour that occurs twice in autumn. A
table that is too wide leaves out its less important columns, and names them.""",
    "paying-files": """\
bankctl transfer --file orders.csv

The first line names the columns from, to, amount, currency and reference, in any order;
reference is optional, and other columns (such as order_id) are copied to the results.
Cells are separated by commas, semicolons, tabs or bars, or as a first line such as sep=;
says. The encoding is UTF-8, or UTF-16 or UTF-32 with a byte order mark. In files without
commas between cells 12,50 means 12.50; 1,234 is ambiguous and is refused. The whole file
is read before the first payment: if a row is not terminated, nothing is paid, because it
is unclear where the next row begins.

A broken row is reported with its line and does not stop the others. Rows that were not
paid go to orders.failed.csv with all of their cells and the reason. Correct them there or
in the original file, and pay that file.

Rows belong to a run, named after the file without .csv or .failed.csv, or by --run NAME.
Within a run a row is identified by what it asks for and its occurrence among equal rows,
so two equal rows are two payments; or by --key-column order_id alone. A row that was paid
is not paid again, however often the command is run, at whichever address of the bank and
on whichever machine; new rows are paid; failed rows are tried again.

  the same file again           continues where it stopped, and pays nothing twice
  rows corrected or added       the new ones are paid, the paid ones skipped and counted
  most of a changed file looks  it asks on a terminal; a script must give --resume (skip
  paid, or a row like a paid    those, pay the others) or --run NAME (pay all of them as
  one has another number        another run), or it exits 7 and pays nothing
  the next month's file         give it its own name, or --run 2026-12

--dry-run asks the bank what it would do with each row now (names, funds, refusals), sums
it by currency and account, and pays nothing. --atomic pays all rows or none, up to 4,000;
a refused atomic file leaves no trace at the bank.

If the bank stays away for longer than --wait, the run stops with exit 8 or 9; the same
command continues it. Only one command at a time pays a run. --file - reads standard
input, which has no name: give --run NAME.""",
    "retries": """\
Before a transfer is sent, its idempotency key and its request are written to disk. If the
connection is lost, it is sent again with the same key, three times in all; the bank
carries out a key once and repeats its answer. If the outcome is still unknown, bankctl
exits 9 and `bankctl transactions retry` settles it later, even after a crash.

Reads are repeated as well. Other changes are sent once, unless the bank says that it did
nothing.""",
    "scripts": """\
Commands that move money or are hard to undo ask on a terminal:

everything that moves money (such as transfer and admin fund), transactions retry,
accounts close, admin approvals approve, admin dead-letters replay (of many),
admin webhooks remove, dev reset, and each api request that is not a GET.

Without a terminal, or with --no-input, these are refused with exit 2 and the code
confirmation_needed before anything is sent. A script confirms with --yes, or once for all
its commands with BANKCTL_YES=1. BANKCTL_YES takes 1, true, yes or on for yes, and 0,
false, no, off or nothing for no; anything else is refused.

A script reads the exit status (`bankctl help exit-codes`) and -o json, passes the
password with --password-stdin, or uses an API key in BANKCTL_TOKEN. Where the bank asks
for the second factor for a payment, --code-stdin passes the code; without it nothing is
paid (exit 2, code_needed). An API key cannot confirm a payment.""",
}
