import { scriptedAgent } from '../../../../server/dist/agents/scripted.js'

export default scriptedAgent()
