import { runPlan } from './program.js'

window.runPlan = runPlan
