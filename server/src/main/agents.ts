import { openAiCompatibleAgent } from '../agents/openai-compatible/openai-compatible-agent.js'
import type { Agent } from '../plans/agent.js'
import type { Settings } from './settings.js'

/**
 * The agents that the settings ask for, beside the built-in ones.
 *
 * @throws PlanstreamError `bad_request` when the key they name is not in the environment
 */
export function agentsFrom(settings: Settings, env: NodeJS.ProcessEnv): Agent[] {
	const {
		PLANSTREAM_OPENAI_BASE_URL: baseUrl,
		PLANSTREAM_OPENAI_API_KEY_ENV: apiKeyEnv,
		PLANSTREAM_OPENAI_MODEL: model,
	} = settings
	if (baseUrl === undefined) return []
	return [
		openAiCompatibleAgent(
			{ baseUrl, ...(apiKeyEnv !== undefined && { apiKeyEnv }), ...(model !== undefined && { model }) },
			{ env },
		),
	]
}
