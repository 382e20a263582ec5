"""The words of the questionnaire and of the scripted conversation. No model answers here."""

PHQ_QUESTIONS = [
    "Little interest or pleasure in doing things",
    "Feeling down, depressed, or hopeless",
    "Trouble falling or staying asleep, or sleeping too much",
    "Feeling tired or having little energy",
    "Poor appetite or overeating",
    "Feeling bad about yourself, or that you are a failure or have let yourself or your family down",
    "Trouble concentrating on things, such as reading the newspaper or watching television",
    "Moving or speaking so slowly that other people could have noticed, or being much more restless than usual",
    "Thoughts that you would be better off dead, or of hurting yourself in some way",
]
PHQ_CHOICES = ["Not at all", "Several days", "More than half the days", "Nearly every day"]

CONVERSATION = [
    "Hello. How have you been these last two weeks?",
    "Thank you for telling me. What has taken most of your energy?",
    "And what, even if it was small, did you good?",
    "Is there somebody you can talk to when it gets heavy?",
    "Thank you. That was all I wanted to ask.",
]
