"""Hold and show dialogues: scenarios, the recorder, the live chat, rater studies."""
