"""Pictures, sounds and documents. Upstream looks all of them up in tables, and so do we: no model is asked."""

from __future__ import annotations

from .base import ApiSet, refuse


class Media(ApiSet):
    """What is in a picture, a recording or a document."""

    def ImageCaption(self, url: str) -> str:
        """Say what a picture shows.

        Args:
            url: address of the picture, which ends with .jpg, .jpeg or .png.
        """
        url = url.strip()
        if not url.endswith((".jpg", ".jpeg", ".png")):
            refuse("The url should end with .jpg, .jpeg or .png.")
        for row in self._episode.library["ImageCaptioning"]:
            if row["url"] == url:
                return str(row["caption"])
        refuse("The image of this url failed to be processed.")

    def SpeechRecognition(self, url: str) -> str:
        """Write down what is said in a recording.

        Args:
            url: address of the recording, which ends with .wav.
        """
        url = url.strip()
        if not url.endswith(".wav"):
            refuse("The url should end with .wav.")
        if url not in self._episode.library["SpeechRecognition"]:
            refuse("The audio of this url failed to be processed.")
        return str(self._episode.library["SpeechRecognition"][url])

    def DocumentQA(self, url: str, question: str) -> str:
        """Answer a question about a document.

        Args:
            url: address of the document, which ends with .txt.
            question: the question.
        """
        url, question = url.strip(), question.strip()
        if question == "":
            refuse("The question is empty.")
        if url not in self._episode.library["QuestionAnswering"]:
            refuse("The document of this url failed to be processed.")
        # Upstream compares the question with whole rows of its table, so it knows no answer, and the recorded
        # dialogues go on from there.
        return "The question is too difficult to answer."

    def PlayMusic(self, music_name: str) -> str:
        """Play a piece of music.

        Args:
            music_name: its title.
        """
        music_name = music_name.lower().strip()
        if music_name == "":
            refuse("The music name cannot be empty.")
        return f"music://{music_name}"
