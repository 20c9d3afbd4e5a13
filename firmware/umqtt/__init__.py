"""umqtt over XMPP: topics are PubSub nodes (docs/umqtt.md)."""
