"""Judges: metrics whose score is a language model's verdict.

Names are resolved on first use. To add a judge, name its module in ``_HOME`` (and in the block for
type checkers above it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opik_eval.lazy import lazily

if TYPE_CHECKING:
    from opik_eval.judges.agent import (
        TrajectoryAccuracy,
    )
    from opik_eval.judges.answer import (
        Moderation,
        StructuredOutputCompliance,
        Usefulness,
    )
    from opik_eval.judges.assertions import (
        LLMJudge,
    )
    from opik_eval.judges.base import (
        Judge,
        Verdict,
    )
    from opik_eval.judges.calibration import (
        Calibration,
        Disagreement,
        calibrate,
    )
    from opik_eval.judges.claims import (
        Factuality,
        Faithfulness,
        NoiseSensitivity,
    )
    from opik_eval.judges.conversation import (
        ConversationalCoherenceMetric,
        SessionCompletenessQuality,
        UserFrustrationMetric,
    )
    from opik_eval.judges.conversation_g_eval import (
        ConversationComplianceRiskMetric,
        ConversationDialogueHelpfulnessMetric,
        ConversationPromptUncertaintyMetric,
        ConversationQARelevanceMetric,
        ConversationSummarizationCoherenceMetric,
        ConversationSummarizationConsistencyMetric,
        GEvalConversationMetric,
    )
    from opik_eval.judges.decision_tree import (
        Choose,
        Decide,
        DecisionTreeJudge,
        Extract,
        Leaf,
    )
    from opik_eval.judges.g_eval import (
        GEval,
    )
    from opik_eval.judges.jury import (
        LLMJuriesJudge,
    )
    from opik_eval.judges.pairwise import (
        PairwiseJudge,
        WinRate,
        win_rate,
    )
    from opik_eval.judges.presets import (
        AgentTaskCompletionJudge,
        AgentToolCorrectnessJudge,
        ComplianceRiskJudge,
        DemographicBiasJudge,
        DialogueHelpfulnessJudge,
        GenderBiasJudge,
        GEvalPreset,
        PoliticalBiasJudge,
        PromptUncertaintyJudge,
        QARelevanceJudge,
        RegionalBiasJudge,
        ReligiousBiasJudge,
        SummarizationCoherenceJudge,
        SummarizationConsistencyJudge,
    )
    from opik_eval.judges.prompt import (
        JudgePrompt,
    )
    from opik_eval.judges.rag import (
        AnswerRelevance,
        ContextPrecision,
        ContextRecall,
        Hallucination,
        RankedContextPrecision,
    )
    from opik_eval.judges.rubric import (
        ChecklistJudge,
        RubricJudge,
    )
    from opik_eval.judges.scoring import score_items
    from opik_eval.judges.sycophancy import (
        SycEval,
    )
    from opik_eval.judges.template import (
        TemplateJudge,
    )
    from opik_eval.judges.tournament import (
        Tournament,
        rank,
    )

_HOME = {
    "AgentTaskCompletionJudge": "presets",
    "AgentToolCorrectnessJudge": "presets",
    "AnswerRelevance": "rag",
    "Calibration": "calibration",
    "ChecklistJudge": "rubric",
    "Choose": "decision_tree",
    "ComplianceRiskJudge": "presets",
    "ContextPrecision": "rag",
    "ContextRecall": "rag",
    "ConversationComplianceRiskMetric": "conversation_g_eval",
    "ConversationDialogueHelpfulnessMetric": "conversation_g_eval",
    "ConversationPromptUncertaintyMetric": "conversation_g_eval",
    "ConversationQARelevanceMetric": "conversation_g_eval",
    "ConversationSummarizationCoherenceMetric": "conversation_g_eval",
    "ConversationSummarizationConsistencyMetric": "conversation_g_eval",
    "ConversationalCoherenceMetric": "conversation",
    "Decide": "decision_tree",
    "DecisionTreeJudge": "decision_tree",
    "DemographicBiasJudge": "presets",
    "DialogueHelpfulnessJudge": "presets",
    "Disagreement": "calibration",
    "Extract": "decision_tree",
    "Factuality": "claims",
    "Faithfulness": "claims",
    "GEval": "g_eval",
    "GEvalConversationMetric": "conversation_g_eval",
    "GEvalPreset": "presets",
    "GenderBiasJudge": "presets",
    "Hallucination": "rag",
    "Judge": "base",
    "JudgePrompt": "prompt",
    "LLMJudge": "assertions",
    "LLMJuriesJudge": "jury",
    "Leaf": "decision_tree",
    "Moderation": "answer",
    "NoiseSensitivity": "claims",
    "PairwiseJudge": "pairwise",
    "PoliticalBiasJudge": "presets",
    "PromptUncertaintyJudge": "presets",
    "QARelevanceJudge": "presets",
    "RankedContextPrecision": "rag",
    "RegionalBiasJudge": "presets",
    "ReligiousBiasJudge": "presets",
    "RubricJudge": "rubric",
    "SessionCompletenessQuality": "conversation",
    "StructuredOutputCompliance": "answer",
    "SummarizationCoherenceJudge": "presets",
    "SummarizationConsistencyJudge": "presets",
    "SycEval": "sycophancy",
    "TemplateJudge": "template",
    "Tournament": "tournament",
    "TrajectoryAccuracy": "agent",
    "Usefulness": "answer",
    "UserFrustrationMetric": "conversation",
    "Verdict": "base",
    "WinRate": "pairwise",
    "calibrate": "calibration",
    "rank": "tournament",
    "score_items": "scoring",
    "win_rate": "pairwise",
}

__getattr__, __dir__ = lazily(__name__, _HOME)


__all__ = [
    "AgentTaskCompletionJudge",
    "AgentToolCorrectnessJudge",
    "AnswerRelevance",
    "Calibration",
    "ChecklistJudge",
    "Choose",
    "ComplianceRiskJudge",
    "ContextPrecision",
    "ContextRecall",
    "ConversationComplianceRiskMetric",
    "ConversationDialogueHelpfulnessMetric",
    "ConversationPromptUncertaintyMetric",
    "ConversationQARelevanceMetric",
    "ConversationSummarizationCoherenceMetric",
    "ConversationSummarizationConsistencyMetric",
    "ConversationalCoherenceMetric",
    "Decide",
    "DecisionTreeJudge",
    "DemographicBiasJudge",
    "DialogueHelpfulnessJudge",
    "Disagreement",
    "Extract",
    "Factuality",
    "Faithfulness",
    "GEval",
    "GEvalConversationMetric",
    "GEvalPreset",
    "GenderBiasJudge",
    "Hallucination",
    "Judge",
    "JudgePrompt",
    "LLMJudge",
    "LLMJuriesJudge",
    "Leaf",
    "Moderation",
    "NoiseSensitivity",
    "PairwiseJudge",
    "PoliticalBiasJudge",
    "PromptUncertaintyJudge",
    "QARelevanceJudge",
    "RankedContextPrecision",
    "RegionalBiasJudge",
    "ReligiousBiasJudge",
    "RubricJudge",
    "SessionCompletenessQuality",
    "StructuredOutputCompliance",
    "SummarizationCoherenceJudge",
    "SummarizationConsistencyJudge",
    "SycEval",
    "TemplateJudge",
    "Tournament",
    "TrajectoryAccuracy",
    "Usefulness",
    "UserFrustrationMetric",
    "Verdict",
    "WinRate",
    "calibrate",
    "rank",
    "score_items",
    "win_rate",
]
