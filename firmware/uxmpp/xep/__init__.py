"""Extensions, one file each, loaded when they are first needed."""

#: What every client answers: the namespace of the question, and the file with its answer().
ANSWERS = {
    "urn:xmpp:ping": "ping",
    "http://jabber.org/protocol/disco#info": "disco",
    "jabber:iq:version": "version",
    "urn:xmpp:time": "time",
}


def handler(client, xmlns):
    """The handler for IQs of type get in `xmlns`, or None."""
    name = ANSWERS.get(xmlns)
    if not name:
        return None
    answer = __import__("uxmpp.xep." + name, None, None, ("answer",)).answer
    return lambda stanza, payload: answer(client, payload)
