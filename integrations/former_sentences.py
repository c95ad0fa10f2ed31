"""Sentences that former versions stored, and the words that Admit has for them now.

A row holds the English sentence that made it, so a reworded sentence would be read in English, in
the old words, by every reader. When you reword a sentence that is stored in a SentenceField or a
SentencesField, add it here: both need the same facts.
"""

NOW = {
    "The integration is turned off. Turn it on, then go on.": (
        "The integration is turned off. Turn it on, then continue."
    ),
    "It waits while buyers are being let in.": "It waits while buyers are being given access.",
    "goes on by itself": "continues by itself",
    "goes on as soon as {site} is turned on": "continues as soon as {site} is turned on",
    "goes on as soon as a key of {site} that works is entered": (
        "continues as soon as the key of {site} works again or another one is entered"
    ),
    "continues as soon as a key of {site} that works is entered": (
        "continues as soon as the key of {site} works again or another one is entered"
    ),
    "More than 1 access was to end within an hour, so this one waits for a person. Release it if "
    "it is right.": (
        "More than 1 action was about to end access within an hour, so this one waits for a "
        "person. Release it if it is right."
    ),
    "More than {number} accesses were to end within an hour, so this one waits for a person. "
    "Release it if it is right.": (
        "More than {number} actions were about to end access within an hour, so this one waits for "
        "a person. Release it if it is right."
    ),
    "{course} is to be given to {email} until {day}.": (
        "{course} will be given to {email} until {day}."
    ),
    "{course} is to be given to {email}.": "{course} will be given to {email}.",
    "The receiver answered {status} and took the message.": (
        "The receiver answered {status} and accepted the message."
    ),
    "No mail server is set, so no e-mail can be sent. Ask the person who runs the server to set "
    "EMAIL_URL.": (
        "No mail server is set, so no e-mail can be sent. Call your technician, who can set "
        "EMAIL_URL."
    ),
    "The mail server {server} took the message for {to}.": (
        "The mail server {server} accepted the message for {to}."
    ),
    "The mail server {server} did not take the message. Look into its log.": (
        "The mail server {server} did not accept the message. Check its log."
    ),
    "No worker runs": "No worker is running",
    "A key is refused": "A key is rejected",
    "Sales wait outside of the database": "Sales are waiting outside the database",
    "The canary does not get through": "The hourly test event does not get through",
    "No sale for unusually long": "No sales for an unusually long time",
    "Refunded, and still in": "Refunded, but still has access",
    "An access token ends": "An access token expires",
    "{name} never connected: its address or its key is wrong. Edit the integration and copy both "
    "once more from Thinkific; then everything that waits goes on by itself.": (
        "{name} never connected: its address or its key is wrong. Edit the integration and copy "
        "both once more from Thinkific; then everything that waits continues by itself."
    ),
    "{name} denies access: its Thinkific plan has no API access (it takes Grow or higher), or the "
    "key lacks a permission. Put that right in Thinkific; then everything that waits goes on by "
    "itself.": (
        "{name} denies access: its Thinkific plan has no API access (Grow or higher is required), "
        "or the key lacks a permission. Fix that in Thinkific; then everything that waits "
        "continues by itself."
    ),
    "{name} does not accept the key. Edit the integration and give it a new one; then everything "
    "that waits goes on by itself.": (
        "{name} does not accept the key. Enter another one under Integrations. What waits "
        "continues by itself as soon as Thinkific accepts either of them."
    ),
    "{name} does not accept the key. Edit the integration and enter a new one; then everything "
    "that waits continues by itself.": (
        "{name} does not accept the key. Enter another one under Integrations. What waits "
        "continues by itself as soon as Thinkific accepts either of them."
    ),
    "1 delivery of SamCart waits in the spool folder since {moment}, because the database did not "
    "take it. Nothing is lost; see that the database runs and has room.": (
        "1 delivery from SamCart has been waiting in the spool folder since {moment}, because the "
        "database did not accept it. Nothing is lost. Check that the database is running and has "
        "free space, or call your technician."
    ),
    "{number} deliveries wait in the spool folder since {moment}, because the database did not "
    "take them. Nothing is lost; see that the database runs and has room.": (
        "{number} deliveries have been waiting in the spool folder since {moment}, because the "
        "database did not accept them. Nothing is lost. Check that the database is running and has "
        "free space, or call your technician."
    ),
    "{megabytes} MB are left on the disk of {what}. Admit gave up its ballast to go on. Make room: "
    "once it is full, sales are lost.": (
        "{megabytes} MB are left on the disk of {what}. Admit used up its reserve space to keep "
        "running. Free some space, or call your technician: once the disk is full, sales are lost."
    ),
    "{megabytes} MB are left on the disk of {what}. Make room: once it is full, sales are lost.": (
        "{megabytes} MB are left on the disk of {what}. Free some space, or call your technician: "
        "once the disk is full, sales are lost."
    ),
    "The canary of {name} did not get through.": (
        "Admit's hourly test event for {name} did not get through."
    ),
    "It is tried again.": "Admit tries it again.",
    "{host} took it, but it is not in this database. Check that PUBLIC_URL leads to this "
    "installation, and that nothing waits in the spool.": (
        "{host} accepted it, but it is not in this database. Check that PUBLIC_URL leads to this "
        "installation, and that nothing waits in the spool."
    ),
    "The last sale of {name} came {moment}; normally {number} more would have come by now. Place a "
    "test order, and check the address in SamCart. If the silence is right, say so on the Alerts "
    "page.": (
        "The last sale of {name} came {moment}; normally {number} more would have come by now. "
        "Place a test order, and check the address in SamCart. If no sales were expected, press "
        "“Do not warn until the next sale” on the Alerts page."
    ),
    "1 ending waits for a person, because more accesses were to end within an hour than usual. "
    "Look at the names, and release or dismiss them.": (
        "1 action that ends access waits for a person, because too many were due within an hour. "
        "Look at the name, then release or dismiss the action."
    ),
    "{number} endings wait for a person, because more accesses were to end within an hour than "
    "usual. Look at the names, and release or dismiss them.": (
        "{number} actions that end access wait for a person, because too many were due within an "
        "hour. Look at the names, then release or dismiss the actions."
    ),
    "The access token of {name} has ended. Make a new one in Thinkific and enter it.": (
        "The access token of {name} has expired. Create a new one in Thinkific and enter it."
    ),
    "The access token of {name} ends on {day}. Make a new one in Thinkific and enter it.": (
        "The access token of {name} expires on {day}. Create a new one in Thinkific and enter it."
    ),
    "The last backup is of {moment}. See why manage.py backup did not run.": (
        "The last backup was made on {moment}. Find out why manage.py backup did not run, or call "
        "your technician."
    ),
    "This is over: “{problem}” ({about}). It began {moment}.": (
        "Resolved: “{problem}” ({about}). It began {moment}."
    ),
    "This is over: “{problem}”. It began {moment}.": "Resolved: “{problem}”. It began {moment}.",
    "Admit: over: {problem}": "Admit: resolved: {problem}",
    "What fits this event was turned off, so nothing was sent.": (
        "The rules that match this event were turned off, so nothing was sent."
    ),
    "{person} gave {email} instead.": "{person} entered {email} instead.",
    "Queued for {email}, which {person} gave.": "Queued for {email}, which {person} entered.",
    "As the rule has changed: {action}, {course} on {site}": (
        "Because the rule changed: {action}, {course} on {site}"
    ),
    "As it was refunded: {action}, {course} on {site}": (
        "Because it was refunded: {action}, {course} on {site}"
    ),
    "As the rule was deleted: {action}, {course} on {site}": (
        "Because the rule was deleted: {action}, {course} on {site}"
    ),
    "Admit stopped while it carried this out; it goes on by itself.": (
        "Admit stopped while it carried this out; it continues by itself."
    ),
    "no rule that is on fits it": "no rule that is turned on matches it",
    "It is answered too slowly: 1 call to {outside} took too long.": (
        "The answers are too slow: 1 call to {outside} took too long."
    ),
    "It is answered too slowly: {number} calls to {outside} took too long.": (
        "The answers are too slow: {number} calls to {outside} took too long."
    ),
    "its e-mail address cannot be used: open the event and give the right e-mail": (
        "its e-mail address cannot be used: open the event and enter the right e-mail"
    ),
    "{site} is turned off; this goes on when it is turned on.": (
        "{site} is turned off; this continues when it is turned on."
    ),
    "Waits because {integration} never connected: its address or its key is wrong. It goes on as "
    "soon as that is put right.": (
        "Waits because {integration} never connected: its address or its key is wrong. It "
        "continues as soon as that is fixed."
    ),
    "Waits because {integration} denies access: its Thinkific plan has no API access (it takes "
    "Grow or higher), or the key lacks a permission. It goes on as soon as that is put right in "
    "Thinkific.": (
        "Waits because {integration} denies access: its Thinkific plan has no API access (Grow or "
        "higher is required), or the key lacks a permission. It continues as soon as that is fixed "
        "in Thinkific."
    ),
    "Waits because the {secret} of {site} does not work. It goes on as soon as one that works is "
    "entered.": (
        "Waits because the {secret} of {site} does not work. It continues as soon as this {secret} "
        "works again or another one is entered."
    ),
    "Waits because the {secret} of {site} does not work. It continues as soon as one that works is "
    "entered.": (
        "Waits because the {secret} of {site} does not work. It continues as soon as this {secret} "
        "works again or another one is entered."
    ),
    "Waits because the {secret} of {site} does not work. It continues as soon as that one works "
    "again or another one is entered.": (
        "Waits because the {secret} of {site} does not work. It continues as soon as this {secret} "
        "works again or another one is entered."
    ),
    "Waits because {site} could not be reached. It goes on by itself.": (
        "Waits because {site} could not be reached. It continues by itself."
    ),
    "Waits because {outside} asked for a pause. It goes on by itself.": (
        "Waits because {outside} asked for a pause. It continues by itself."
    ),
    "Has {courses} already by {sources}.": "Already has {courses} through {sources}.",
    "{host} took the message, and the connection broke off before its answer.": (
        "{host} accepted the message, and the connection broke off before its answer."
    ),
    "{host} answered {status}: it did not accept the message. Look into the receiver's own log.": (
        "{host} answered {status}: it did not accept the message. Check the receiver's own log."
    ),
    "{host} answered {status}: it failed on its side. Look into the receiver's own log.": (
        "{host} answered {status}: it failed on its side. Check the receiver's own log."
    ),
    "The body is not {encoding} text: byte {number} does not fit.": (
        "The body is not {encoding} text: byte {number} is not valid."
    ),
    "The body is not JSON: character {number} of {all} does not fit.": (
        "The body is not JSON: character {number} of {all} is not valid."
    ),
    "Thinkific does not accept the key: the key or the subdomain is wrong, or the site's plan may "
    "not include the API (it takes Grow or higher). Check both, and enter the key again.": (
        "Thinkific does not accept the key: the key or the subdomain is wrong, or the site's plan "
        "may not include the API (Grow or higher is required)."
    ),
    "Thinkific does not accept the key: the key or the subdomain is wrong, or the site's plan may "
    "not include the API (Grow or higher is required). Check both, and enter the key again.": (
        "Thinkific does not accept the key: the key or the subdomain is wrong, or the site's plan "
        "may not include the API (Grow or higher is required)."
    ),
    "Thinkific denies access: the site's plan may not include the API (it takes Grow or higher), "
    "or the key lacks a permission.": (
        "Thinkific denies access: the site's plan may not include the API (Grow or higher is "
        "required), or the key lacks a permission."
    ),
    "Thinkific knows the key, but does not let it use the API: the school's plan has no API access "
    "(it takes Grow or higher), or the key lacks a permission.": (
        "Thinkific knows the key, but does not let it use the API: the school's plan has no API "
        "access (Grow or higher is required), or the key lacks a permission."
    ),
    "Thinkific did not let Admit in: the key is not accepted, or the school's plan has no API "
    "access (it takes Grow or higher). Admit asks again in {minutes} min. A new key is tried at "
    "once.": (
        "Thinkific did not let Admit in: the key is not accepted, or the school's plan has no API "
        "access (Grow or higher is required). Admit asks again in {minutes} min. A new key is "
        "tried at once."
    ),
    "Admit goes on by itself in 1 second.": "Admit continues by itself in 1 second.",
    "Admit goes on by itself in {number} seconds.": (
        "Admit continues by itself in {number} seconds."
    ),
    "It goes on at once.": "It continues at once.",
    "Nothing to do: {cause} has ended this access.": "Nothing was given: {cause} came first.",
    "still being read. That goes on in the background: look in a minute at when it was last "
    "refreshed.": (
        "still being read, in the background. In a minute, check under Last refreshed whether it "
        "is done."
    ),
}
